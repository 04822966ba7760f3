-- Tombstones: where a user who is no longer here has gone, if the component knows.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 11. Loaded once by mod_moved_hook, which gives it its link to the
-- components.

local st = require "util.stanza";
local jid = require "util.jid";
local new_id = require "util.uuid".generate;
local user_exists = require "core.usermanager".user_exists;

local xmlns_hook = "urn:xmpp-moved:hook:0";
local xmlns_moved = "urn:xmpp:moved:1";
local xmlns_pubsub = "http://jabber.org/protocol/pubsub";
local xmlns_stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";

return function (link)
	local passing = setmetatable({}, { __mode = "k" }); -- requests we gave back
	-- Who went away with a tombstone: the component is asked about nobody else. Until it has told, since
	-- this module started, it is asked about everybody.
	local left, told = {}, false;
	local stale = {}; -- component -> those of whom the list that it is telling has said nothing so far

	-- The component tells who they are, in pieces: from "begin" to "end" it is all of them, else these
	-- are added or removed.
	local function set(component, payload)
		local users = {};
		for account in payload:childtags("account") do
			local username, host, resource = jid.prepped_split(account.attr.jid);
			if not username or host ~= module.host or resource then
				return nil, "bad-request", "tombstones takes accounts of this host";
			end
			users[username] = account.attr.state == "removed" and "removed" or "left";
		end
		if payload.attr.begin == "true" then
			local old = {};
			for username in pairs(left) do old[username] = true; end
			stale[component] = old;
		end
		for username, state in pairs(users) do
			left[username] = state == "left" or nil;
			-- Of several components that share what they know each may tell of it.
			for _, old in pairs(stale) do old[username] = nil; end
		end
		if payload.attr["end"] == "true" and stale[component] then
			for username in pairs(stale[component]) do left[username] = nil; end
			stale[component], told = nil, true;
		end
		return true;
	end

	local function gone(request, uri)
		local reply = st.reply(request);
		reply.attr.type = "error";
		return reply:tag("error", { type = "cancel" }):text_tag("gone", uri, { xmlns = xmlns_stanzas }):up();
	end

	-- Below block lists (100) and mod_firewall (0.1): whom they keep out is told nothing. Above mod_iq
	-- (0), which hands it to PEP.
	module:hook("iq/bare", function (event)
		local stanza = event.stanza;
		local pubsub = stanza.attr.type == "get" and stanza:get_child("pubsub", xmlns_pubsub);
		local items = pubsub and pubsub:get_child("items");
		if not items or items.attr.node ~= xmlns_moved or passing[stanza] then return; end
		local to, from = stanza.attr.to, stanza.attr.from;
		local username = to and jid.node(to);
		if not username or not from or (told and not left[username]) then return; end
		if user_exists(username, module.host) then return; end
		local component = link.component_for(username);
		if not component then return; end
		local request = st.clone(stanza);
		local iq = st.iq({ type = "get"; id = new_id(); from = module.host; to = component; })
			:tag("tombstone", { xmlns = xmlns_hook; jid = to; asker = jid.bare(from); });
		-- Anybody may ask about whomever they like, so nothing is counted for who is asked about.
		local users = { "of "..link.owner(jid.host(from)) };
		local held = link.ask("tombstone", iq, component, users, function (answer)
			local found = answer and answer.attr.type == "result"
				and answer:get_child_text("tombstone", xmlns_hook);
			local uri = found and found:match("^%s*(xmpp:%S+)%s*$");
			if uri then
				module:send(gone(request, uri));
			else
				passing[request] = true;
				module:send(request);
			end
		end);
		if held then return true; end
	end, 0.05);

	return { set = set; };
end
