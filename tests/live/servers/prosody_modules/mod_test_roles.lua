-- A device whose resource begins with "restricted" gets the role of a guest, as one may that logs in
-- with a token (mod_tokenauth). Prosody 0.12 has no roles.

local usermanager = require "core.usermanager";

module:hook("resource-bind", function (event)
	local session = event.session;
	if usermanager.get_role_by_name and session.resource:find("^restricted") then
		session.role = usermanager.get_role_by_name("prosody:guest", module.host);
	end
end);
