-- Follows moved notifications inside Prosody: stands for the community module mod_auto_moved, which
-- no Debian package has. Written from what that module does, so that it costs the server the same:
--
-- * a request with <moved/> whose old address sees this user, from an address that does not yet;
-- * the statement is asked for as the host, once for each request (one for every contact);
-- * where it names the sender: the request is noted, approved, and one in return noted, each with
--   rostermanager's own function (each saves the roster), and one push;
-- * otherwise the request goes on with a mark. The old address keeps what it may see.

local st = require "util.stanza";
local jid = require "util.jid";
local new_id = require "util.id".short;
local rm = require "core.rostermanager";

local xmlns_moved = "urn:xmpp:moved:1";
local xmlns_pubsub = "http://jabber.org/protocol/pubsub";
local xmlns_mark = "urn:xmpp-moved:bench:0";

local function follow(user, new, wants_back)
	local me = user.."@"..module.host;
	rm.set_contact_pending_in(user, module.host, new);
	rm.subscribed(user, module.host, new);
	module:send(st.presence({ type = "subscribed"; from = me; to = new; }));
	rm.roster_push(user, module.host, new);
	if wants_back then
		rm.set_contact_pending_out(user, module.host, new);
		module:send(st.presence({ type = "subscribe"; from = me; to = new; }));
	end
end

-- What this server makes itself names the namespace of <item/>, but not that of <items/>.
local statement = ("{%s}pubsub/items/{%s}item/{%s}moved"):format(xmlns_pubsub, xmlns_pubsub, xmlns_moved);
local function successor(reply)
	local moved = reply:find(statement);
	return moved and jid.prep(moved:get_child_text("new-jid"));
end

module:hook("presence/bare", function (event)
	local stanza, origin = event.stanza, event.origin;
	if stanza.attr.type ~= "subscribe" or stanza:get_child("unverified", xmlns_mark) then return; end
	local moved = stanza:get_child("moved", xmlns_moved);
	local old = moved and moved:get_child_text("old-jid");
	local user, host, new = jid.node(stanza.attr.to), module.host, jid.bare(stanza.attr.from);
	if not old or not rm.is_contact_subscribed(user, host, old)
		or rm.is_contact_pending_in(user, host, new) or rm.is_contact_subscribed(user, host, new) then
		return;
	end
	local function give_up()
		module:send(stanza:reset():tag("unverified", { xmlns = xmlns_mark }):up(), origin);
	end
	-- The original names no sender, and so no other domain can answer it: here it is helped.
	local query = st.iq({ type = "get"; id = new_id(); from = host; to = old; })
		:tag("pubsub", { xmlns = xmlns_pubsub })
			:tag("items", { node = xmlns_moved }):tag("item", { id = "current" }):reset();
	module:send_iq(query):next(function (answer)
		if successor(answer.stanza) ~= new then return give_up(); end
		module:log("info", "%s is now %s: %s follows", old, new, user);
		follow(user, new, rm.is_user_subscribed(user, host, old));
	end, give_up);
	return true;
end, 1);
