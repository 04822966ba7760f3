-- Sessions with less than their user's own role, where Prosody has roles (13.0): such a session is
-- somebody to whom the user lent a part of the account, and must not move it (XEP-0283 6.1).
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- Loaded once by mod_moved_hook, in each host's own environment.
--
-- What is refused: a change of the moved statement by the session itself, and whatever it says to the
-- component, which does as the user what it is told. Roles from prosody:registered on have the
-- permission moved_hook:move; add_permissions and remove_permissions change that.

local st = require "util.stanza";
local jid = require "util.jid";
local usermanager = require "core.usermanager";

local xmlns_moved = "urn:xmpp:moved:1";
local xmlns_pubsub = "http://jabber.org/protocol/pubsub";

return function (is_component)
	if not usermanager.get_user_role or not module.default_permission then return; end -- 0.12
	module:default_permission("prosody:registered", ":move");

	-- A user whose own role is a low one moves what is theirs.
	local function restricted(event)
		local session = event.origin;
		if session.type ~= "c2s" or not session.role then return false; end
		local own = usermanager.get_user_role(session.username, module.host);
		return not (own and own.name == session.role.name) and not module:may(":move", event);
	end

	local function refuse(event)
		module:log("info", "%s may not move this account: its role is %s", event.origin.full_jid,
			event.origin.role.name);
		event.origin.send(st.error_reply(event.stanza, "auth", "forbidden",
			"this session may not move the account"));
		return true;
	end

	-- Above mod_pep (0).
	local function on_pubsub(event)
		local stanza = event.stanza;
		if stanza.attr.type ~= "set" then return; end
		for _, action in ipairs(stanza.tags[1].tags) do
			if action.attr.node == xmlns_moved then return restricted(event) and refuse(event) or nil; end
		end
	end
	module:hook("iq/bare/"..xmlns_pubsub..":pubsub", on_pubsub, 10);
	module:hook("iq/bare/"..xmlns_pubsub.."#owner:pubsub", on_pubsub, 10);

	-- What asks for nothing, such as presence, goes on.
	local function on_word(event)
		local stanza = event.stanza;
		local kind = stanza.attr.type;
		if kind == "error" or kind == "result" or not is_component(jid.host(stanza.attr.to)) then return; end
		return restricted(event) and refuse(event) or nil;
	end
	module:hook("pre-message/host", on_word);
	module:hook("pre-iq/host", on_word);
end
