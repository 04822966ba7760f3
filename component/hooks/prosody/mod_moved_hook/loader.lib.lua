-- In the section of a component: loads the module on the hosts that the component serves.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- So that nothing has to be written into the hosts' own sections, where a second modules_enabled
-- would replace the first. Loaded by mod_moved_hook.

local jid = require "util.jid";
local modulemanager = require "core.modulemanager";

local name = module.name;
local ours = {}; -- host -> true where we have loaded it

-- moved_hook_hosts: the hosts whose users this component serves.
local hosts = {};
for host in module:get_option_set("moved_hook_hosts", {}) do
	local prepped = jid.prep(host);
	if not prepped then error("moved_hook_hosts: "..tostring(host).." is no host"); end
	hosts[prepped] = module:shared("/*/moved_hook/"..prepped.."/loaders");
end
if not next(hosts) then
	module:log("error", "moved_hook_hosts is not set: give it the hosts that %s serves", module.host);
end

local function serve(host)
	local loaders = hosts[host];
	if not loaders or not prosody.hosts[host] then return; end
	loaders[module.host] = true;
	if modulemanager.is_loaded(host, name) then return; end
	local ok, err = modulemanager.load(host, name);
	if ok then
		ours[host] = true;
	else
		module:log("error", "%s cannot be loaded on %s: %s", name, host, err);
	end
end

for host in pairs(hosts) do serve(host); end
-- After the modules that the host itself names.
module:hook_global("host-activated", serve, -100);

function module.unload()
	for host, loaders in pairs(hosts) do
		loaders[module.host] = nil;
		if ours[host] and not next(loaders) and modulemanager.is_loaded(host, name) then
			modulemanager.unload(host, name);
		end
	end
end
