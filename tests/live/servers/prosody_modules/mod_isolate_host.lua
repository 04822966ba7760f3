-- Stands in for the community module of this name: a session that was not marked when it was bound
-- sends to its own host alone. Here those whose name begins with "inmate" are not marked.

local jid = require "util.jid";
local st = require "util.stanza";

local function isolated(address) return address:match("^inmate") ~= nil; end

-- Global, as in the module that this stands in for.
function set_session_isolation_flag(event) -- luacheck: ignore 131
	local session = event.session;
	if not isolated(session.full_jid) then session.no_host_isolation = true; end
end
module:hook("resource-bind", set_session_isolation_flag);

local function check(event)
	local origin, stanza = event.origin, event.stanza;
	-- What the server says for a user was bound nowhere.
	if origin.type == "local" and not isolated(stanza.attr.from) then return; end
	local to = jid.host(stanza.attr.to);
	if origin.no_host_isolation or not to or to == origin.host then return; end
	if to:match("^[^.]+%.(.+)$") == origin.host then return; end
	origin.send(st.error_reply(stanza, "auth", "forbidden", "Communication with "..to.." is not available"));
	return true;
end
for _, kind in ipairs { "message", "presence", "iq" } do
	for _, address in ipairs { "bare", "full", "host" } do
		module:hook("pre-"..kind.."/"..address, check, 1);
	end
end
