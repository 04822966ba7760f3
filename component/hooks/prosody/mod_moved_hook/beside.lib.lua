-- What an admin should know of the modules beside us, for `xmpp-moved check`.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- Loaded by mod_moved_hook in each host's own environment.

local modulemanager = require "core.modulemanager";

local function is_loaded(name)
	return modulemanager.is_loaded(module.host, name) or modulemanager.is_loaded("*", name);
end

-- Modules that the configuration names for this host, and that are not there.
local function unloaded()
	local names = {};
	for name in modulemanager.get_modules_for_host(module.host) do
		if not is_loaded(name) then table.insert(names, name); end
	end
	table.sort(names);
	return names;
end

-- Permissions to leave the server that some roles are given and that nothing asks for: then they
-- hold for everybody. (A second modules_enabled for a host replaces the first without a word.)
local function unasked()
	local scripts = module:get_option_array("firewall_scripts");
	if is_loaded("restrict_federation") or is_loaded("isolate_host") or scripts and #scripts > 0 then
		return {};
	end
	for _, permissions in pairs(module:get_option("add_permissions") or {}) do
		for _, permission in ipairs(permissions) do
			if permission == "xmpp:federate" then return { permission }; end
		end
	end
	return {};
end

return { unloaded = unloaded; unasked = unasked; };
