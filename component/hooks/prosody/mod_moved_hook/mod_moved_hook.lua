-- mod_moved_hook: the part of xmpp-moved that lives inside Prosody (0.12 and 13.0).
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
--
-- It decides nothing. It asks the component about subscription requests that carry a moved
-- notification (XEP-0283), or that are addressed to a user whom the component watches, and does what
-- the component's verdict says; whatever goes wrong, the request is processed as if this module were
-- not there. docs/hook-protocol.md has every stanza.

if module:get_host_type() == "component" then
	module:require "loader";
	return;
end

local st = require "util.stanza";
local jid = require "util.jid";
local set = require "util.set";
local new_id = require "util.uuid".generate;
local now = require "util.time".monotonic;
local rostermanager = require "core.rostermanager";
local user_exists = require "core.usermanager".user_exists;

local roster_lib = module:require "roster";
local strip, stand_in = roster_lib.strip, roster_lib.stand_in;
local add_items, send_as, blocked = roster_lib.add_items, roster_lib.send_as, roster_lib.blocked;
local link = module:require "link";
local connected, authority = link.connected, link.authority;
local accounts = module:require "reborn";
local token = accounts.token;
local watches = module:require "watch"(link, add_items, blocked, token);
local tombstones = module:require "tombstone"(link);
local keeping = module:require "keep"(accounts.known);
accounts.on_newcomer(keeping.settle);
module:require "restrict"(link.is_component);
local copying = module:require "copy";
local beside = module:require "beside";

local xmlns_hook = "urn:xmpp-moved:hook:0";
local xmlns_moved = "urn:xmpp:moved:1";
local xmlns_forward = "urn:xmpp:forward:0";
local hook_version = "0.6.0";
local features = {
	"watch", "tombstone", "answer", "entries", "get-entries", "tombstones", "account", "keep";
};

-- What a component may ask as a user (4.3): the namespace of the payload.
local query_namespaces = {
	["http://jabber.org/protocol/disco#info"] = true;
	["http://jabber.org/protocol/disco#items"] = true;
	["http://jabber.org/protocol/pubsub"] = true;
	["http://jabber.org/protocol/pubsub#owner"] = true;
	["jabber:iq:private"] = true;
	["jabber:iq:roster"] = true;
	["urn:xmpp:blocking"] = true;
	["urn:xmpp:http:upload:0"] = true;
	["vcard-temp"] = true;
};

-- State ---------------------------------------------------------------------------------------

local instance = new_id(); -- changes whenever the module starts: what we held before is gone
local queries, query_count = {}, 0; -- id of an IQ sent as a user -> who asked
local passing = setmetatable({}, { __mode = "k" }); -- stanzas we gave back: not to be diverted again
local held = {}; -- user and sender -> old address ("" where the request is no move) -> entry
local counters = { diverted = 0, taken = 0, passed = 0, joined = 0, limited = 0 };
local passes = require "util.cache".new(1000); -- sender, or domain, that is over its share -> until when
local pass_seconds = 1;
local most_bytes = 8192; -- of a request that is asked about
local released_by_reason = {};

local function quoted(stanza)
	local copy = st.clone(stanza);
	copy.attr.xmlns = "jabber:client";
	return copy;
end

-- Divert (4.1) --------------------------------------------------------------------------------

local function give_back(stanza)
	passing[stanza] = true;
	-- What the server cannot do with it must not keep the component from being told, nor from having
	-- its other stanzas read.
	local ok, err = pcall(module.send, module, stanza);
	if not ok then module:log("error", "a request of %s could not be processed: %s", stanza.attr.from, err); end
end

local function tell_outcome(entry, state, reason, touched)
	if not connected(entry.component) then return; end
	local roster = rostermanager.load_roster(entry.username, module.host);
	local message = st.message({ from = entry.user, to = entry.component, id = new_id() })
		:tag("outcome", { xmlns = xmlns_hook; id = entry.id; state = state; reason = reason; instance = instance; });
	local jids, sender = touched or entry.jids, entry.jids[#entry.jids];
	add_items(message, roster, jids);
	if not set.new(jids):contains(sender) then add_items(message, roster, { sender }); end
	module:send(message:reset());
end

local function release(entry, reason)
	released_by_reason[reason] = (released_by_reason[reason] or 0) + 1;
	give_back(entry.stanza);
	tell_outcome(entry, "released", reason);
end

local function granted(item)
	return item and (item.subscription == "from" or item.subscription == "both");
end

-- What speaks against doing what was decided: the request is no longer what it was when we asked about
-- it, or the entry of the old address is the admin's and not the user's to change. nil: nothing.
local function against(entry)
	if entry.gone or token(entry.username) ~= entry.account then return "changed"; end
	local roster = rostermanager.load_roster(entry.username, module.host);
	if entry.old and not granted(roster[entry.old]) then return "changed"; end
	for _, address in ipairs(entry.jids) do
		if blocked(entry.username, address) then return "changed"; end
	end
	if entry.old and roster_lib.shared(roster[entry.old]) then return "shared"; end
end

-- First of all at its end: what is given back must not meet itself.
local function forget(entry)
	local same = held[entry.key];
	same[entry.old or ""] = nil;
	if not next(same) then held[entry.key] = nil; end
end

local function on_verdict(entry, answer, reason)
	forget(entry);
	local take = answer and answer.attr.type == "result" and answer:get_child("take", xmlns_hook);
	if not take then
		local verdict = answer and answer:get_child("release", xmlns_hook);
		local who = verdict and verdict.attr.pass;
		if who then passes:set(who, now() + pass_seconds); end
		return release(entry, reason or answer.attr.type == "error" and "error" or "verdict");
	end
	local send, touched = take:get_child("send", xmlns_hook), nil;
	if send then
		local ok, jids, condition, why = pcall(send_as, entry.username, send, function () return not against(entry); end);
		if not ok or not jids then
			module:log("warn", "could not do what was decided about a request of %s to %s: %s",
				entry.jids[#entry.jids], entry.user, tostring(why or condition or jids));
			return release(entry, against(entry) or "send-failed");
		end
		touched = jids;
	elseif against(entry) then
		return release(entry, against(entry));
	end
	counters.taken = counters.taken + 1;
	tell_outcome(entry, "taken", nil, touched);
end

-- Whether a sender, or its domain, has used up its share: the component would only say so again.
local function over_its_share(sender)
	for _, who in ipairs({ sender, jid.host(sender) }) do
		if (passes:get(who) or 0) > now() then return true; end
	end
end

-- The sender wants it no more: there is nothing left to decide, nor to give back.
local function withdraw(key)
	for _, entry in pairs(held[key] or {}) do
		forget(entry);
		link.drop(entry.id);
		released_by_reason.withdrawn = (released_by_reason.withdrawn or 0) + 1;
		tell_outcome(entry, "released", "withdrawn");
	end
end

-- Below block lists (100) and PEP (10), above mod_firewall (0.1) and mod_presence (0).
module:hook("presence/bare", function (event)
	local stanza = event.stanza;
	local kind, to, from = stanza.attr.type, stanza.attr.to, stanza.attr.from;
	if (kind ~= "subscribe" and kind ~= "unsubscribe") or not to or not from or passing[stanza] then return; end
	local username, new = jid.node(to), jid.bare(from);
	local key = to.."\0"..new;
	if kind == "unsubscribe" then return withdraw(key); end
	local moved = stanza:get_child("moved", xmlns_moved);
	local old = moved and jid.prep(moved:get_child_text("old-jid", xmlns_moved));
	local watcher, same = watches.watcher(username, "requests"), held[key];
	if old and over_its_share(new) then
		old = nil;
		counters.limited = counters.limited + 1;
	end
	if not old and not watcher and not same then return; end
	local roster, err = rostermanager.load_roster(username, module.host);
	if err then return; end
	-- XEP-0283 4.3: ignored unless the old address has an approved subscription to the user.
	local moves = old and not jid.resource(old) and granted(roster[old]);
	-- Asked again: servers repeat a request, without <moved/>, whenever its sender comes online. Another
	-- old address is another question.
	if same and (not moves or same[old]) then
		counters.joined = counters.joined + 1;
		return true;
	end
	-- Whom the user blocked does not get in by another name.
	if old and (moves or watcher) and blocked(username, old) then return; end
	local component, watched, jids;
	if moves then
		component, jids = link.component_for(username), old == new and { old } or { old, new };
	elseif watcher and not granted(roster[new]) then
		component, watched, jids = watcher, "true", { new };
	else
		return;
	end
	-- The component would only let go of it: no client of a mover sends so much.
	if #tostring(stanza) > most_bytes then
		counters.limited = counters.limited + 1;
		return;
	end
	-- Whose request this is must be sure: a name may get another owner before the verdict is there.
	local account = component and connected(component) and token(username);
	local entry = {
		id = new_id(); stanza = st.clone(stanza); username = username; key = key; old = moves and old or nil;
		user = username.."@"..module.host; jids = jids; component = component; account = account;
	};
	local function ask()
		local iq = st.iq({ type = "set"; id = entry.id; from = entry.user; to = component; })
			:tag("divert", { xmlns = xmlns_hook; instance = instance; watched = watched; account = account; })
				:tag("forwarded", { xmlns = xmlns_forward }):add_child(quoted(stanza)):up();
		local users = { "to "..username, "of "..link.owner(jid.host(new)) };
		return link.ask("divert", add_items(iq, roster, jids), component, users, function (answer, reason)
			on_verdict(entry, answer, reason);
		end);
	end
	held[key] = same or {};
	held[key][entry.old or ""] = entry;
	if not account or not ask() then
		forget(entry);
		counters.passed = counters.passed + 1;
		return;
	end
	counters.diverted = counters.diverted + 1;
	return true;
end, 1);

-- Whoever takes the name while a request is held is somebody else; and the components have to know
-- that nothing of theirs is this name's any more.
module:hook("moved-hook-deleted", function (event)
	for _, same in pairs(held) do
		for _, entry in pairs(same) do entry.gone = entry.gone or entry.username == event.username; end
	end
	for _, component in ipairs(link.connected_all()) do
		module:send(st.message({ from = module.host, to = component, id = new_id() })
			:tag("deleted", {
				xmlns = xmlns_hook; jid = event.username.."@"..module.host; account = event.account;
			}):reset());
	end
end);

-- Requests of the component -------------------------------------------------------------------

local requests, questions = {}, {}; -- of type set; of type get

local function refuse(origin, stanza, condition, text)
	origin.send(st.error_reply(stanza, condition == "bad-request" and "modify" or "cancel", condition, text));
end

function requests.send(origin, stanza, payload)
	local jids, roster, why = send_as(jid.node(stanza.attr.to), payload);
	if not jids then return refuse(origin, stanza, roster, why); end
	local reply = st.reply(stanza):tag("send", { xmlns = xmlns_hook });
	origin.send(add_items(reply, roster, jids):reset());
end

function requests.entries(origin, stanza, payload)
	local ok, condition, why = roster_lib.set_entries(jid.node(stanza.attr.to), payload);
	if not ok then return refuse(origin, stanza, condition, why); end
	origin.send(st.reply(stanza));
end

function questions.entries(origin, stanza, payload)
	local jids, roster, why = roster_lib.chosen(jid.node(stanza.attr.to), payload);
	if not jids then return refuse(origin, stanza, roster, why); end
	local reply = st.reply(stanza):tag("entries", { xmlns = xmlns_hook });
	origin.send(add_items(reply, roster, jids):reset());
end

function questions.account(origin, stanza)
	local account, condition = token(jid.node(stanza.attr.to));
	if not account then return refuse(origin, stanza, condition, "no such user, or the token cannot be kept"); end
	origin.send(st.reply(stanza):tag("account", { xmlns = xmlns_hook; token = account; }));
end

function requests.watch(origin, stanza, payload)
	local ok, condition, why = watches.set(origin, stanza, payload);
	if not ok then return refuse(origin, stanza, condition, why); end
	local reply = st.reply(stanza);
	if watches.watcher(jid.node(stanza.attr.to), "requests") then
		-- What came while nobody watched: the component may know that the user wants it.
		local roster = rostermanager.load_roster(jid.node(stanza.attr.to), module.host);
		reply:tag("watch", { xmlns = xmlns_hook });
		local told = 0;
		for contact in pairs(roster[false].pending or {}) do
			if told >= link.max_held then break; end
			reply:tag("pending", { jid = contact }):up();
			told = told + 1;
		end
		reply:up();
	end
	origin.send(reply);
end

function requests.keep(origin, stanza, payload)
	local username = jid.node(stanza.attr.to);
	local account, none = token(username);
	if not account then return refuse(origin, stanza, none, "no such user, or no token"); end
	local ok, condition, why = keeping.keep(username, account, payload);
	if not ok then return refuse(origin, stanza, condition, why); end
	origin.send(st.reply(stanza));
end

function requests.release(origin, stanza, payload)
	local forwarded = payload:get_child("forwarded", xmlns_forward);
	local inner = forwarded and forwarded:get_child("presence", "jabber:client");
	local from = inner and jid.prep(inner.attr.from);
	if not from or inner.attr.type ~= "subscribe" or jid.prep(inner.attr.to) ~= stanza.attr.to
		or not inner:get_child("moved", xmlns_moved) then
		return refuse(origin, stanza, "bad-request", "release takes a moved notification to this user");
	end
	give_back(strip(st.clone(inner)));
	origin.send(st.reply(stanza));
end

local function answer_query(id, answer)
	local query = queries[id];
	queries[id], query_count = nil, query_count - 1;
	query.timer:stop();
	if not connected(query.component) then return; end
	if answer then
		module:send(st.reply(query.request):tag("query", { xmlns = xmlns_hook }):add_child(quoted(answer)));
	else
		module:send(st.error_reply(query.request, "wait", "remote-server-timeout", "no answer in time"));
	end
end

-- core.rostermanager saves the roster of a user's sessions, and nothing where there are none;
-- mod_blocklist fails where there are none, after it has saved.
local needs_session = { ["jabber:iq:roster"] = true; ["urn:xmpp:blocking"] = true; };
local function as_if_online(username, roster, call, ...)
	local users = prosody.hosts[module.host].sessions;
	if users[username] then return call(...); end
	users[username] = { roster = roster; sessions = {}; };
	local ok, err = pcall(call, ...);
	users[username] = nil;
	if not ok then error(err, 0); end
end

-- Of an entry that is shared, mod_roster would make the user's own, and store it.
local function sets_shared(roster, query)
	for item in query:childtags("item", "jabber:iq:roster") do
		if roster_lib.shared(roster[jid.prep(item.attr.jid)]) then return true; end
	end
end

-- `xmpp-moved check` asks whether requests of users get out, as a user whom nobody is.
local function checks(username, kind, tag, to)
	return username == "xmpp-moved-check-nobody" and kind == "get" and jid.host(to) == to
		and tag.attr.xmlns == "http://jabber.org/protocol/disco#info" and not prosody.hosts[to];
end

function requests.query(origin, stanza, payload)
	local inner = payload:get_child("iq", "jabber:client");
	local kind, tag = inner and inner.attr.type, inner and inner.tags[1];
	local user, username = stanza.attr.to, jid.node(stanza.attr.to);
	local to = inner and jid.prep(inner.attr.to or user);
	if not to or (kind ~= "get" and kind ~= "set") or #inner.tags ~= 1 then
		return refuse(origin, stanza, "bad-request", "query takes one iq of type get or set");
	elseif not query_namespaces[tag.attr.xmlns] then
		return refuse(origin, stanza, "not-allowed", "this namespace may not be queried as a user");
	elseif not copying.may(kind, tag, to == user) then
		return refuse(origin, stanza, "not-allowed", "moved_hook_copy does not let this be carried");
	elseif not user_exists(username, module.host) and not checks(username, kind, tag, to) then
		return refuse(origin, stanza, "item-not-found", "no such user");
	elseif query_count >= link.max_held then
		return refuse(origin, stanza, "resource-constraint", "too many queries at once");
	end
	local roster = rostermanager.load_roster(username, module.host);
	if kind == "set" and tag.attr.xmlns == "jabber:iq:roster" and to == user and sets_shared(roster, tag) then
		return refuse(origin, stanza, "not-allowed", "the entry comes from a shared group");
	end
	local id = new_id();
	local iq = strip(st.clone(inner));
	iq.attr.id, iq.attr.from, iq.attr.to = id, user, to;
	queries[id] = {
		to = to; component = origin.host; request = st.clone(stanza, true);
		timer = module:add_timer(link.timeout, function ()
			if queries[id] then answer_query(id); end
		end);
	};
	query_count = query_count + 1;
	local session = stand_in(username, roster, function (reply)
		-- Handlers of this server answer the session instead of routing.
		if queries[id] and reply.attr and reply.attr.id == id then answer_query(id, reply); end
		return true;
	end);
	-- mod_vcard lets users set theirs only where nobody is named.
	if to == user and tag.attr.xmlns == "vcard-temp" then iq.attr.to = nil; end
	if needs_session[tag.attr.xmlns] then
		as_if_online(username, roster, prosody.core_post_stanza, session, iq, true);
	else
		prosody.core_post_stanza(session, iq, true);
	end
end

local function hello(event)
	local origin, stanza = event.origin, event.stanza;
	if not authority(origin) then return; end
	local reply = st.reply(stanza):tag("hello", {
		xmlns = xmlns_hook; version = hook_version; instance = instance;
		server = "Prosody"; ["server-version"] = prosody.version;
		timeout = tostring(link.timeout); ["max-held"] = tostring(link.max_held);
		held = tostring(link.waiting("divert")); watched = tostring(watches.count()); diverted = tostring(counters.diverted);
		taken = tostring(counters.taken); passed = tostring(counters.passed);
		joined = tostring(counters.joined); limited = tostring(counters.limited);
	});
	for _, feature in ipairs(features) do reply:text_tag("feature", feature); end
	for reason, n in pairs(released_by_reason) do
		reply:tag("released", { reason = reason; count = tostring(n); }):up();
	end
	for namespace in pairs(query_namespaces) do reply:text_tag("query", namespace); end
	for _, part in ipairs(copying.parts()) do reply:text_tag("copy", part); end
	for _, name in ipairs(beside.unloaded()) do reply:text_tag("unloaded", name); end
	for _, name in ipairs(beside.unasked()) do reply:text_tag("unasked", name); end
	origin.send(reply:reset());
	return true;
end

-- Above block lists: a user who blocks the component must not make the server lose its verdicts.
module:hook("iq/bare", function (event)
	local origin, stanza = event.origin, event.stanza;
	local kind, id = stanza.attr.type, stanza.attr.id;
	if kind == "result" or kind == "error" then
		if link.take_answer(event) then return true; end
		local query = queries[id];
		if query and query.to == stanza.attr.from then
			answer_query(id, stanza);
			return true;
		end
		return;
	end
	local payload = stanza.tags[1];
	if not payload or payload.attr.xmlns ~= xmlns_hook or not stanza.attr.to then return; end
	if not authority(origin) then
		-- Answered like any payload that nobody here knows.
		module:log("warn", "%s tried to give this module orders: ignored", stanza.attr.from);
		return;
	end
	local handler = (kind == "set" and requests or questions)[payload.name];
	local meant, now, condition = payload.attr.account, nil, nil;
	if handler and meant then
		now, condition = token(jid.node(stanza.attr.to));
	end
	if not handler then
		refuse(origin, stanza, "feature-not-implemented", "hook "..hook_version.." does not know this request");
	elseif meant and now ~= meant then
		refuse(origin, stanza, condition or "item-not-found", "the account that was meant is gone");
	else
		handler(origin, stanza, payload);
	end
	return true;
end, 1000);

module:hook("iq/host", function (event)
	local kind = event.stanza.attr.type;
	if kind == "result" or kind == "error" then return link.take_answer(event); end
end, 1000);

module:hook("iq-get/host/"..xmlns_hook..":hello", hello);

module:hook("iq-set/host/"..xmlns_hook..":tombstones", function (event)
	local origin, stanza = event.origin, event.stanza;
	local component = authority(origin);
	if not component then return; end
	local ok, condition, why = tombstones.set(component, stanza.tags[1]);
	if not ok then
		refuse(origin, stanza, condition, why);
	else
		origin.send(st.reply(stanza));
	end
	return true;
end);

module:hook_global("server-stopping", function () link.give_up("stopping"); end, 1000);
function module.unload() link.give_up("unloaded"); end
