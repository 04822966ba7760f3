-- mod_moved_hook: the part of xmpp-moved that lives inside Prosody (0.12 and 13.0).
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
--
-- It decides nothing. It asks the component about subscription requests that carry a moved
-- notification (XEP-0283) and does what the component's verdict says; whatever goes wrong, the
-- request is processed as if this module were not there. docs/hook-protocol.md has every stanza.

local st = require "util.stanza";
local jid = require "util.jid";
local new_id = require "util.uuid".generate;
local rostermanager = require "core.rostermanager";
local user_exists = require "core.usermanager".user_exists;

local roster_lib = module:require "roster";
local strip, stand_in = roster_lib.strip, roster_lib.stand_in;
local add_items, send_as = roster_lib.add_items, roster_lib.send_as;

local xmlns_hook = "urn:xmpp-moved:hook:0";
local xmlns_moved = "urn:xmpp:moved:1";
local xmlns_forward = "urn:xmpp:forward:0";
local hook_version = "0.1.0";

-- Options -------------------------------------------------------------------------------------

-- moved_hook_component: address of the component that decides, or a list of such addresses: each
-- user is then served by one of those connected at the moment. No default: without it the module
-- does nothing.
local component_option = module:get_option("moved_hook_component");
-- moved_hook_timeout: seconds after which a request without a verdict is processed normally.
local timeout = module:get_option_number("moved_hook_timeout", 60);
-- moved_hook_max_held: requests held at once; one more is not diverted. Bounds memory.
local max_held = module:get_option_number("moved_hook_max_held", 5000);

local components, is_component = {}, {};
for _, name in ipairs(type(component_option) == "table" and component_option or { component_option }) do
	local prepped = jid.prep(name);
	if not prepped then error("moved_hook_component: "..tostring(name).." is not an address"); end
	table.insert(components, prepped);
	is_component[prepped] = true;
end
if #components == 0 then
	module:log("error", "moved_hook_component is not set: give it the address of the xmpp-moved component");
end

-- What a component may ask as a user (4.3): the namespace of the payload.
local query_namespaces = {
	["http://jabber.org/protocol/disco#info"] = true;
	["http://jabber.org/protocol/pubsub"] = true;
	["http://jabber.org/protocol/pubsub#owner"] = true;
	["jabber:iq:private"] = true;
	["jabber:iq:roster"] = true;
	["urn:xmpp:blocking"] = true;
	["vcard-temp"] = true;
};

-- State ---------------------------------------------------------------------------------------

local instance = new_id(); -- changes whenever the module starts: what we held before is gone
local held, held_count = {}, 0; -- id of the divert -> what we hold
local queries, query_count = {}, 0; -- id of an IQ sent as a user -> who asked
local passing = setmetatable({}, { __mode = "k" }); -- stanzas we gave back: not to be diverted again
local counters = { diverted = 0, taken = 0, passed = 0 };
local released_by_reason = {};

local function connected(name)
	local host = prosody.hosts[name];
	local env = host and host.modules and host.modules.component;
	return env and env.connected;
end

-- Spread users over the connected components; a user stays with one while the set is stable.
local function component_for(user)
	local up = {};
	for _, name in ipairs(components) do
		if connected(name) then table.insert(up, name); end
	end
	if #up < 2 then return up[1]; end
	local sum = 0;
	for i = 1, #user do sum = (sum * 31 + user:byte(i)) % 65521; end
	return up[sum % #up + 1];
end

-- The authority: the stream of the component itself, never just an address (RFC 6120 8.1.2.1).
local function authority(origin)
	return origin.type == "component" and is_component[origin.host] and origin.host;
end

local function quoted(stanza)
	local copy = st.clone(stanza);
	copy.attr.xmlns = "jabber:client";
	return copy;
end

-- Divert (4.1) --------------------------------------------------------------------------------

local function give_back(stanza)
	passing[stanza] = true;
	module:send(stanza);
end

local function tell_outcome(entry, id, state, reason, touched)
	if not connected(entry.component) then return; end
	local roster = rostermanager.load_roster(entry.username, module.host);
	local message = st.message({ from = entry.user, to = entry.component, id = new_id() })
		:tag("outcome", { xmlns = xmlns_hook; id = id; state = state; reason = reason; instance = instance; });
	module:send(add_items(message, roster, touched or { entry.old, entry.new }):reset());
end

local function let_go(id)
	local entry = held[id];
	held[id], held_count = nil, held_count - 1;
	entry.timer:stop();
	return entry;
end

local function release(id, reason)
	local entry = let_go(id);
	released_by_reason[reason] = (released_by_reason[reason] or 0) + 1;
	give_back(entry.stanza);
	tell_outcome(entry, id, "released", reason);
end

local function release_all(reason, component)
	local ids = {};
	for id, entry in pairs(held) do
		if not component or entry.component == component then table.insert(ids, id); end
	end
	for _, id in ipairs(ids) do release(id, reason); end
end

local watched = {}; -- component -> the events object whose disconnection we follow
local function watch(component)
	local events = prosody.hosts[component].events;
	if watched[component] == events then return; end
	watched[component] = events;
	module:hook_object_event(events, "component-disconnected", function ()
		release_all("disconnected", component);
	end);
end

-- Below block lists (100) and PEP (10), above mod_firewall (0.1) and mod_presence (0).
module:hook("presence/bare", function (event)
	local stanza = event.stanza;
	local to, from = stanza.attr.to, stanza.attr.from;
	if stanza.attr.type ~= "subscribe" or not to or not from or passing[stanza] then return; end
	local moved = stanza:get_child("moved", xmlns_moved);
	local old = moved and jid.prep(moved:get_child_text("old-jid", xmlns_moved));
	if not old or jid.resource(old) then return; end
	local username = jid.node(to);
	local roster, err = rostermanager.load_roster(username, module.host);
	local item = not err and roster[old];
	-- XEP-0283 4.3: ignored unless the old address has an approved subscription to the user.
	if not item or (item.subscription ~= "from" and item.subscription ~= "both") then return; end
	local component = component_for(username);
	if not component or held_count >= max_held then
		counters.passed = counters.passed + 1;
		return;
	end

	watch(component);
	local id, user, new = new_id(), username.."@"..module.host, jid.bare(from);
	local iq = st.iq({ type = "set"; id = id; from = user; to = component; })
		:tag("divert", { xmlns = xmlns_hook; instance = instance; })
			:tag("forwarded", { xmlns = xmlns_forward }):add_child(quoted(stanza)):up();
	add_items(iq, roster, old == new and { old } or { old, new });
	held[id] = {
		stanza = st.clone(stanza); username = username; user = user; old = old; new = new;
		component = component; timer = module:add_timer(timeout, function ()
			if held[id] then release(id, "timeout"); end
		end);
	};
	held_count, counters.diverted = held_count + 1, counters.diverted + 1;
	module:send(iq:reset());
	return true;
end, 1);

local function on_verdict(id, stanza)
	local take = stanza.attr.type == "result" and stanza:get_child("take", xmlns_hook);
	if not take then
		return release(id, stanza.attr.type == "error" and "error" or "verdict");
	end
	local entry = held[id];
	local send, touched = take:get_child("send", xmlns_hook), nil;
	if send then
		local ok, jids, condition, why = pcall(send_as, entry.username, send);
		if not ok or not jids then
			module:log("warn", "could not follow %s to %s for %s: %s",
				entry.old, entry.new, entry.user, tostring(why or condition or jids));
			return release(id, "send-failed");
		end
		touched = jids;
	end
	let_go(id);
	counters.taken = counters.taken + 1;
	tell_outcome(entry, id, "taken", nil, touched);
end

-- Requests of the component -------------------------------------------------------------------

local requests = {};

local function refuse(origin, stanza, condition, text)
	origin.send(st.error_reply(stanza, condition == "bad-request" and "modify" or "cancel", condition, text));
end

function requests.send(origin, stanza, payload)
	local jids, roster, why = send_as(jid.node(stanza.attr.to), payload);
	if not jids then return refuse(origin, stanza, roster, why); end
	local reply = st.reply(stanza):tag("send", { xmlns = xmlns_hook });
	origin.send(add_items(reply, roster, jids):reset());
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

function requests.query(origin, stanza, payload)
	local inner = payload:get_child("iq", "jabber:client");
	local kind, tag = inner and inner.attr.type, inner and inner.tags[1];
	local user, username = stanza.attr.to, jid.node(stanza.attr.to);
	local to = inner and jid.prep(inner.attr.to or user);
	if not to or (kind ~= "get" and kind ~= "set") or #inner.tags ~= 1 then
		return refuse(origin, stanza, "bad-request", "query takes one iq of type get or set");
	elseif not query_namespaces[tag.attr.xmlns] then
		return refuse(origin, stanza, "not-allowed", "this namespace may not be queried as a user");
	elseif not user_exists(username, module.host) then
		return refuse(origin, stanza, "item-not-found", "no such user");
	elseif query_count >= max_held then
		return refuse(origin, stanza, "resource-constraint", "too many queries at once");
	end
	local id = new_id();
	local iq = strip(st.clone(inner));
	iq.attr.id, iq.attr.from, iq.attr.to = id, user, to;
	queries[id] = {
		to = to; component = origin.host; request = st.clone(stanza, true);
		timer = module:add_timer(timeout, function ()
			if queries[id] then answer_query(id); end
		end);
	};
	query_count = query_count + 1;
	local roster = rostermanager.load_roster(username, module.host);
	prosody.core_post_stanza(stand_in(username, roster, function (reply)
		-- Handlers of this server answer the session instead of routing.
		if queries[id] and reply.attr and reply.attr.id == id then answer_query(id, reply); end
		return true;
	end), iq, true);
end

local function hello(event)
	local origin, stanza = event.origin, event.stanza;
	if not authority(origin) then return; end
	local reply = st.reply(stanza):tag("hello", {
		xmlns = xmlns_hook; version = hook_version; instance = instance;
		server = "Prosody"; ["server-version"] = prosody.version;
		timeout = tostring(timeout); ["max-held"] = tostring(max_held);
		held = tostring(held_count); diverted = tostring(counters.diverted);
		taken = tostring(counters.taken); passed = tostring(counters.passed);
	});
	for reason, n in pairs(released_by_reason) do
		reply:tag("released", { reason = reason; count = tostring(n); }):up();
	end
	for namespace in pairs(query_namespaces) do reply:text_tag("query", namespace); end
	origin.send(reply:reset());
	return true;
end

-- Above block lists: a user who blocks the component must not make the server lose its verdicts.
module:hook("iq/bare", function (event)
	local origin, stanza = event.origin, event.stanza;
	local kind, id = stanza.attr.type, stanza.attr.id;
	if kind == "result" or kind == "error" then
		local entry, query = held[id], queries[id];
		if entry and authority(origin) == entry.component then
			on_verdict(id, stanza);
			return true;
		elseif query and query.to == stanza.attr.from then
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
	local handler = requests[payload.name];
	if kind ~= "set" or not handler then
		refuse(origin, stanza, "feature-not-implemented", "hook "..hook_version.." does not know this request");
	else
		handler(origin, stanza, payload);
	end
	return true;
end, 1000);

module:hook("iq-get/host/"..xmlns_hook..":hello", hello);

module:hook_global("server-stopping", function () release_all("stopping"); end, 1000);
function module.unload() release_all("unloaded"); end
