-- Watches: whose subscription requests, answers and messages a component wants to know about.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, sections 8 to 10. Loaded once by mod_moved_hook, which gives it its link
-- to the components. Requests are diverted there; answers and messages are told here.

local st = require "util.stanza";
local jid = require "util.jid";
local new_id = require "util.uuid".generate;
local now = require "util.time".monotonic;
local rostermanager = require "core.rostermanager";

local xmlns_hook = "urn:xmpp-moved:hook:0";
local asks_again = 60; -- seconds until the same sender's messages make a question again
local longest_answer = 1024; -- characters

return function (link, add_items, blocked, token)
	local watches, count = {}, 0; -- username -> { component, account, requests, answers, messages }

	local function drop(username)
		if watches[username] then watches[username], count = nil, count - 1; end
	end

	local function set(origin, stanza, payload)
		local username = jid.node(stanza.attr.to);
		local account, condition = token(username);
		if not account then return nil, condition, "no such user, or the token cannot be kept"; end
		drop(username);
		local watch, any = { component = origin.host; account = account; }, false;
		for _, what in ipairs({ "requests", "answers", "messages" }) do
			watch[what] = payload.attr[what] == "true" or payload.attr[what] == "1";
			any = any or watch[what];
		end
		if any then
			watches[username], count = watch, count + 1;
			link.follow(watch.component);
		end
		return true;
	end

	local function forget_all(component)
		for username, watch in pairs(watches) do
			if watch.component == component then drop(username); end
		end
	end
	module:hook("moved-hook-lost", function (event) forget_all(event.component); end);
	module:hook("moved-hook-deleted", function (event) drop(event.username); end);

	-- The component that watches these things of the user, or nil. Who took the name since is somebody
	-- else, whom nobody watches.
	local function watcher(username, what)
		local watch = username and watches[username];
		if not watch or not watch[what] then return; end
		local account, condition = token(username);
		if account == watch.account then return watch.component; end
		if account or condition == "item-not-found" then drop(username); end
	end

	-- Answers -----------------------------------------------------------------------------------

	local answers = { subscribed = true; unsubscribed = true; unsubscribe = true; error = true; };

	-- Below block lists (100) and mod_firewall (0.1): what they drop is not heard. What is heard has
	-- to be read here, for mod_presence (0) changes "from" and "to" of the stanza.
	module:hook("presence/bare", function (event)
		local attr = event.stanza.attr;
		if not answers[attr.type] or not attr.to or not attr.from then return; end
		local username = jid.node(attr.to);
		local component = watcher(username, "answers");
		if not component then return; end
		event.moved_hook_heard = {
			component = component; username = username;
			type = attr.type; sender = jid.bare(attr.from);
			condition = attr.type == "error" and select(2, event.stanza:get_error()) or nil;
		};
	end, 0.05);

	-- Around all handlers: told once the server has done what it does, so with the new roster item.
	module:wrap_event("presence/bare", function (handlers, name, event)
		local result = handlers(name, event);
		local heard = event.moved_hook_heard;
		if heard and link.connected(heard.component) then
			local roster = rostermanager.load_roster(heard.username, module.host);
			local message = st.message({
				id = new_id(); from = heard.username.."@"..module.host; to = heard.component;
			}):tag("heard", {
				xmlns = xmlns_hook; type = heard.type; jid = heard.sender; condition = heard.condition;
			});
			module:send(add_items(message, roster, { heard.sender }):reset());
		end
		return result;
	end);

	-- Messages ----------------------------------------------------------------------------------

	-- user and sender -> when we asked. When it is full of those that may not be asked about again,
	-- nobody is asked about.
	local asked = require "util.cache".new(math.max(1, link.max_held), function (_, at)
		return now() - at >= asks_again;
	end);

	-- One user has a fifth of it, as of all that is held.
	local function has_room(user)
		local prefix, taken = user.."\0", 0;
		for key, at in asked:items() do
			if key:sub(1, #prefix) == prefix and now() - at < asks_again then taken = taken + 1; end
		end
		return taken < math.ceil(link.max_held / 5);
	end

	local function may_ask(user, sender)
		local key = user.."\0"..sender;
		local at = asked:get(key);
		return (not at or now() - at >= asks_again) and has_room(user) and asked:set(key, now());
	end

	local function send_answer(user, to, iq)
		local answer = iq.attr.type == "result" and iq:get_child("answer", xmlns_hook);
		local text = answer and answer:get_text() or "";
		local _, characters = text:gsub("[^\128-\191]", ""); -- UTF-8: all but continuation bytes
		if characters < 1 or characters > longest_answer then return; end
		-- The user may have blocked the sender since, and what we send meets no block list.
		if blocked(jid.node(user), to) then return; end
		module:send(st.message({
			id = new_id(); type = "chat"; from = user; to = to; ["xml:lang"] = answer.attr["xml:lang"];
		}, text));
	end

	-- Looks at the message and lets it go its way: nothing here returns a value.
	local function on_message(event)
		local stanza = event.stanza;
		local attr = stanza.attr;
		local kind, to, from = attr.type or "normal", attr.to, attr.from;
		if not to or not from or (kind ~= "chat" and kind ~= "normal") then return; end
		local username = jid.node(to);
		local component = watcher(username, "messages");
		-- Without a resource no client wrote it; so two users of ours never answer each other's answers.
		if not component or not jid.resource(from) then return; end
		local body = stanza:get_child("body");
		if not body or stanza:get_child("delay", "urn:xmpp:delay") then return; end
		local user, sender = username.."@"..module.host, jid.bare(from);
		if sender == user or not link.connected(component) then return; end
		local roster = rostermanager.load_roster(username, module.host);
		local item = roster[sender];
		if not item or item.subscription == "none" or not may_ask(user, sender) then return; end
		-- What the body says comes first: a stanza without xml:lang gets one from its stream.
		local lang = body.attr["xml:lang"] or attr["xml:lang"];
		local iq = st.iq({ type = "get"; id = new_id(); from = user; to = component; })
			:tag("wrote", { xmlns = xmlns_hook; jid = sender; lang = lang; });
		local users = { "to "..username, "of "..link.owner(jid.host(sender)) };
		link.ask("wrote", iq, component, users, function (answer)
			if answer then send_answer(user, from, answer); end
		end);
	end

	-- Below block lists and mod_firewall, above archive (0), carbons (-0.5) and delivery (-1).
	module:hook("message/bare", on_message, 0.05);
	module:hook("message/full", on_message, 0.05);

	return { set = set; watcher = watcher; count = function () return count; end; };
end
