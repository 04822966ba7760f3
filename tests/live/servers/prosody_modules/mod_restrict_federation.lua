-- Stands in for the community module of this name, which Snikket has: who lacks the permission
-- xmpp:federate neither sends to other servers nor gets anything from them, but for answers to IQs.
-- Here the ordinary role has it and prosody:guest has not. Roles begin with Prosody 13.0.

if not module.may then return; end

local jid_node = require "util.jid".node;
local st = require "util.stanza";
local get_user_role = require "core.usermanager".get_user_role;

module:default_permission("prosody:registered", "xmpp:federate");

local function answers(stanza)
	return stanza.name == "iq" and (stanza.attr.type == "result" or stanza.attr.type == "error");
end

module:hook("route/remote", function (event)
	local origin, stanza = event.origin, event.stanza;
	if not origin or origin.type ~= "c2s" then return; end
	if module:may("xmpp:federate", event) or answers(stanza) then return; end
	module:log("debug", "Kept inside: %s", stanza);
	origin.send(st.error_reply(stanza, "auth", "policy-violation", "Not permitted"));
	return true;
end, 500);

local function incoming(event)
	local origin, stanza = event.origin, event.stanza;
	local username = jid_node(stanza.attr.to);
	if origin.type ~= "s2sin" or not username or answers(stanza) then return; end
	local role = get_user_role(username, module.host);
	if not role or role:may("xmpp:federate") then return; end
	module:log("debug", "Kept outside: %s", stanza);
	origin.send(st.error_reply(stanza, "cancel", "service-unavailable"));
	return true;
end
for _, kind in ipairs { "message", "presence", "iq" } do
	module:hook(kind.."/bare", incoming, 500);
	module:hook(kind.."/full", incoming, 500);
end
