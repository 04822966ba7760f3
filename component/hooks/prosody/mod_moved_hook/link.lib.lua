-- The components that may decide, and the questions they are asked.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- Loaded once by mod_moved_hook, in each host's own environment.

local jid = require "util.jid";
local unpack = table.unpack or unpack; -- luacheck: ignore 113

-- Set by the sections of components that load us (mod_moved_hook.lua): component -> true.
local loaders = module:shared("/*/moved_hook/"..module.host.."/loaders");

-- moved_hook_component: address of the component that decides, or a list of such addresses: each
-- user is then served by one of those connected at the moment. Without it, it is the component that
-- loads us; where there is neither, the module does nothing.
local component_option = module:get_option("moved_hook_component");
-- moved_hook_timeout: seconds after which a question without an answer is given up.
local timeout = module:get_option_number("moved_hook_timeout", 60);
-- moved_hook_max_held: questions of one kind that wait at once. Bounds memory; one user of ours, and one
-- owner of domains elsewhere, has a fifth of it.
local max_held = module:get_option_number("moved_hook_max_held", 5000);

local named, is_named = {}, {};
for _, name in ipairs(type(component_option) == "table" and component_option or { component_option }) do
	local prepped = jid.prep(name);
	if not prepped then error("moved_hook_component: "..tostring(name).." is not an address"); end
	table.insert(named, prepped);
	is_named[prepped] = true;
end
if #named == 0 and not next(loaders) then
	module:log("error", "moved_hook_component is not set: give it the address of the xmpp-moved component");
end

-- The components that may decide, in an order that is always the same.
local function components()
	if not next(loaders) then return named; end
	local all = { unpack(named) };
	for name in pairs(loaders) do
		if not is_named[name] then table.insert(all, name); end
	end
	table.sort(all);
	return all;
end

local function connected(name)
	local host = prosody.hosts[name];
	local env = host and host.modules and host.modules.component;
	return env and env.connected;
end

local function connected_all()
	local up = {};
	for _, name in ipairs(components()) do
		if connected(name) then table.insert(up, name); end
	end
	return up;
end

-- Spread users over the connected components; a user stays with one while the set is stable.
local function component_for(user)
	local up = connected_all();
	if #up < 2 then return up[1]; end
	local sum = 0;
	for i = 1, #user do sum = (sum * 31 + user:byte(i)) % 65521; end
	return up[sum % #up + 1];
end

local function is_component(name)
	return is_named[name] or loaders[name] or false;
end

-- The authority: the stream of the component itself, never just an address (RFC 6120 8.1.2.1).
local function authority(origin)
	return origin.type == "component" and is_component(origin.host) and origin.host;
end

-- Questions -----------------------------------------------------------------------------------

local questions, waiting = {}, {}; -- by id; how many of each kind, and of each kind for each user of it

-- Whoever has registered a domain has any number of names beneath it: the part of a domain that its owner
-- has registered, as far as the name shows it (three labels where it looks like one below co.uk).
local function owner(domain)
	local labels = {};
	for label in domain:gmatch("[^.]+") do table.insert(labels, label); end
	local n = #labels;
	local kept = n > 2 and #labels[n] == 2 and #labels[n - 1] <= 3 and 3 or 2;
	return table.concat(labels, ".", math.max(1, n - kept + 1));
end

local function count(kind, users, more)
	waiting[kind] = (waiting[kind] or 0) + more;
	for _, user in ipairs(users) do
		local key = kind.."\0"..user;
		local sum = (waiting[key] or 0) + more;
		waiting[key] = sum > 0 and sum or nil;
	end
end

-- Whether there is room for one more question of a kind, and for each of those who share it: a fifth is
-- what one of them may have, so that whoever takes much leaves room for others.
local function room(kind, users)
	if (waiting[kind] or 0) >= max_held then return false; end
	for _, user in ipairs(users) do
		if (waiting[kind.."\0"..user] or 0) >= math.ceil(max_held / 5) then return false; end
	end
	return true;
end

-- Forget a question: an answer that comes later is nobody's.
local function drop(id)
	local question = questions[id];
	questions[id] = nil;
	count(question.kind, question.users, -1);
	question.timer:stop();
	return question;
end

local function finish(id, answer, reason)
	drop(id).done(answer, reason);
end

-- Give up the questions to one component, or all.
local function give_up(reason, component)
	local ids = {};
	for id, question in pairs(questions) do
		if not component or question.component == component then table.insert(ids, id); end
	end
	for _, id in ipairs(ids) do
		if questions[id] then finish(id, nil, reason); end
	end
end

local followed = {}; -- component -> the events object whose disconnection we follow

-- Have the module told, as its event moved-hook-lost, when the stream of a component ends.
local function follow(component)
	local events = prosody.hosts[component].events;
	if followed[component] == events then return; end
	followed[component] = events;
	module:hook_object_event(events, "component-disconnected", function ()
		module:fire_event("moved-hook-lost", { component = component });
		give_up("disconnected", component);
	end);
end

-- Send an IQ to a connected component and call done(answer) with its answer, whatever its type, or
-- done(nil, reason). Returns false, and does nothing, where too many of this kind wait, or too many for one
-- of the users: whoever is asked for, and whose domain asks.
local function ask(kind, iq, component, users, done)
	local id = iq.attr.id;
	if not room(kind, users) then return false; end
	follow(component);
	questions[id] = {
		kind = kind; users = users; component = component; done = done;
		timer = module:add_timer(timeout, function ()
			if questions[id] then finish(id, nil, "timeout"); end
		end);
	};
	count(kind, users, 1);
	module:send(iq:reset());
	return true;
end

-- Take an IQ of type result or error that answers a question; true if it was one.
local function take_answer(event)
	local stanza = event.stanza;
	local question = questions[stanza.attr.id];
	if not question or authority(event.origin) ~= question.component then return; end
	finish(stanza.attr.id, stanza);
	return true;
end

return {
	timeout = timeout; max_held = max_held;
	is_component = is_component; owner = owner;
	connected = connected; connected_all = connected_all; component_for = component_for; authority = authority;
	follow = follow; ask = ask; drop = drop; take_answer = take_answer; give_up = give_up;
	waiting = function (kind) return waiting[kind] or 0; end;
};
