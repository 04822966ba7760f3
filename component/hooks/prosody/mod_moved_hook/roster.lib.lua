-- What the hook does to rosters: sends subscription presences as a user, in one roster save.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 4. Loaded by mod_moved_hook in each host's own environment.

local st = require "util.stanza";
local jid = require "util.jid";
local rostermanager = require "core.rostermanager";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";
local user_exists = usermanager.user_exists;

local presence_module = module:depends("presence");

-- Only stanzas without a namespace of their own are routed. What stands in a foreign element stays
-- as it is.
local function strip(stanza)
	stanza.attr.xmlns = nil;
	for _, tag in ipairs(stanza.tags) do
		local xmlns = tag.attr.xmlns;
		if not xmlns or xmlns == "jabber:client" or xmlns == "jabber:component:accept" then strip(tag); end
	end
	return stanza;
end

-- A session that stands in for the user towards Prosody's own handlers: with the user's own role
-- (from 13.0 on), so that whoever may not do something cannot have it done by a move.
local function stand_in(username, roster, send)
	local session = {
		type = "c2s"; username = username; host = module.host; roster = roster;
		full_jid = username.."@"..module.host.."/moved-hook";
		role = usermanager.get_user_role and usermanager.get_user_role(username, module.host);
		log = module._log; send = send or function () return true; end;
	};
	-- mod_isolate_host marks who may leave the host when a session is bound, and asks for the mark
	-- alone. Whom it does not mark stays inside, as do all where it cannot tell.
	local isolate = prosody.hosts[module.host].modules.isolate_host;
	local mark = isolate and (isolate.set_session_isolation_flag or isolate.check_user_isolated);
	if mark then pcall(mark, { session = session; origin = session; }); end
	return session;
end

local function add_item(stanza, contact, item)
	stanza:tag("item", {
		xmlns = "jabber:iq:roster"; jid = contact; name = item.name;
		subscription = item.subscription; ask = item.ask;
	});
	for group in pairs(item.groups or {}) do stanza:text_tag("group", group); end
	return stanza:up();
end

local function add_items(stanza, roster, jids)
	for _, contact in ipairs(jids) do
		if roster[contact] then add_item(stanza, contact, roster[contact]); end
	end
	return stanza;
end

local function copy_item(item)
	if not item then return nil; end
	local copy = {};
	for k, v in pairs(item) do copy[k] = v; end
	copy.groups = {};
	for group in pairs(item.groups or {}) do copy.groups[group] = true; end
	return copy;
end

-- One write for all entries, whatever the storage: a full write where that is all it can do, the
-- changed keys where it can do that (core.rostermanager saves once per presence).
local function save(username, roster, jids, versions)
	local metadata = roster[false];
	if metadata.broken then return nil, "the roster could not be loaded"; end
	local version = metadata.version;
	if version ~= true then metadata.version = (version or 0) + versions; end
	local store = storagemanager.open(module.host, "roster", "map");
	local ok, err;
	if store.keyval_store then
		ok, err = store.keyval_store:set(username, roster);
	else
		local keys = { [false] = metadata };
		for _, contact in ipairs(jids) do keys[contact] = roster[contact] or store.remove; end
		ok, err = store:set_keys(username, keys);
	end
	if not ok then metadata.version = version; end
	return ok, err;
end

-- RFC 6121 appendix A.2: what a presence sent by the user does to the entry of its addressee.
-- The entry's new subscription by the old one; "ask" is what becomes of the pending request.
local machine = {
	subscribe = { none = "none"; to = "to"; from = "from"; both = "both"; };
	unsubscribe = { none = "none"; to = "none"; from = "from"; both = "from"; };
	-- The request was held by us, so it counts as pending though no roster says so.
	subscribed = { none = "from"; to = "both"; from = "from"; both = "both"; };
	unsubscribed = { none = "none"; to = "to"; from = "none"; both = "to"; };
};

-- Read a <send/>: its presences, in order, and the name and groups it brings. nil, why on junk.
local function read_send(send, user)
	local presences, names = {}, {};
	for _, tag in ipairs(send.tags) do
		local address = jid.prep(tag.attr[tag.name == "item" and "jid" or "to"]);
		if not address or not jid.split(address) or jid.resource(address) or address == user then
			return nil, "each presence and item of a send needs the bare address of another user";
		end
		if tag.name == "item" and tag.attr.xmlns == "jabber:iq:roster" then
			local groups = {};
			for group in tag:childtags("group", "jabber:iq:roster") do groups[group:get_text()] = true; end
			names[address] = { name = tag.attr.name; groups = groups; };
		elseif tag.name == "presence" and machine[tag.attr.type] then
			local presence = strip(st.clone(tag));
			presence.attr.from, presence.attr.to = user, address;
			table.insert(presences, presence);
		else
			return nil, "a send takes presences of the subscription types and roster items";
		end
	end
	if #presences == 0 or #presences > 16 then return nil, "a send takes 1 to 16 presences"; end
	return presences, names;
end

-- Read where mod_blocklist keeps it, for that asks nobody: it saves at once, so the store is never
-- behind. A list that cannot be read may have anybody on it.
local blocklists = module:open_store("blocklist");
local function blocked(username, address)
	if not prosody.hosts[module.host].modules.blocklist then return false; end
	local called, list, err = pcall(blocklists.get, blocklists, username);
	if not called or err then return true; end
	list = list or {};
	return (list[address] or list[jid.bare(address)] or list[jid.host(address)]) and true or false;
end

local collecting = setmetatable({}, { __mode = "k" }); -- probes on their way through the filters

-- Firewalls see what the user is made to send; mod_presence (priority 0), which would save the roster
-- once for each presence, does not: below we do its work in one save. mod_blocklist (-1) never sees a
-- subscription presence, since mod_presence ends the event: its list is read.
local function collect(event)
	if collecting[event.stanza] == nil then return; end
	collecting[event.stanza] = true;
	return true;
end
module:hook("pre-presence/bare", collect, 0.05);
module:hook("route/remote", collect, -0.5); -- mod_s2s (-1) would send it

local function may_send(session, presence)
	if blocked(session.username, presence.attr.to) then return false; end
	local probe = st.clone(presence);
	collecting[probe] = false;
	prosody.core_post_stanza(session, probe, true);
	local to_host = jid.host(presence.attr.to);
	if not collecting[probe] or prosody.hosts[to_host] then return collecting[probe]; end
	-- Who may leave the server is asked on the way out alone (mod_restrict_federation).
	collecting[probe] = false;
	-- Modules that bring stanzas to a domain in ways of their own go by to_host: to none of them.
	module:fire_event("route/remote", {
		origin = session; stanza = probe; from_host = module.host; to_host = "probe.invalid";
	});
	return collecting[probe];
end

-- Send presences for a user (4.2): all or nothing, one roster save, pushes and routing as
-- mod_presence would do them. Returns the touched addresses and the roster, or nil, condition, why.
-- may(), if given, is asked last before the first change: nothing comes between its answer and the save.
local function send_as(username, send, may)
	local user = username.."@"..module.host;
	if not user_exists(username, module.host) then return nil, "item-not-found", "no such user"; end
	local presences, names = read_send(send, user);
	if not presences then return nil, "bad-request", names; end
	local roster, load_err = rostermanager.load_roster(username, module.host);
	if load_err then return nil, "internal-server-error", "the roster could not be loaded"; end
	local session = stand_in(username, roster);
	for _, presence in ipairs(presences) do
		if not may_send(session, presence) then
			return nil, "not-acceptable", "the server's rules or the user's block list forbid it";
		end
	end
	if may and not may() then return nil, "conflict", "things have changed meanwhile"; end

	local before, pending_before, jids, pushes = {}, {}, {}, {};
	local pending = roster[false].pending;
	local actions = {}; -- what each presence does once the save stands
	for _, presence in ipairs(presences) do
		local to, kind = presence.attr.to, presence.attr.type;
		if before[to] == nil then
			before[to], pending_before[to] = copy_item(roster[to]) or false, pending[to];
			table.insert(jids, to);
		end
		local item = copy_item(roster[to]) or { subscription = "none", groups = {} };
		local was = item.subscription;
		local granted, was_pending = was == "from" or was == "both", pending[to] ~= nil;
		local changed = machine[kind][was] ~= was;
		item.subscription = machine[kind][was];
		if kind == "subscribe" and (was == "none" or was == "from") and not item.ask then
			item.ask, changed = "subscribe", true;
		elseif kind == "unsubscribe" and item.ask then
			item.ask, changed = nil, true;
		elseif kind == "subscribed" or kind == "unsubscribed" then
			pending[to] = nil;
		end
		local named = names[to];
		if named and changed then
			if not item.name then item.name = named.name; end
			if not next(item.groups) then item.groups = named.groups; end
			names[to] = nil;
		end
		if changed then
			roster[to] = item;
			table.insert(pushes, { to = to; item = copy_item(item); });
		end
		table.insert(actions, {
			presence = presence; push = changed and pushes[#pushes];
			route = kind ~= "unsubscribed" or granted or was_pending; granted = granted;
			receives = item.subscription == "to" or item.subscription == "both";
		});
	end

	local version = roster[false].version;
	local dirty = #pushes > 0;
	for _, to in ipairs(jids) do dirty = dirty or pending_before[to] ~= pending[to]; end
	if dirty then
		-- Storage may throw: Prosody 0.12 keeps pending requests whole and cannot write a deep one.
		local called, ok, err = pcall(save, username, roster, jids, math.max(1, #pushes));
		if not called then roster[false].version, ok, err = version, nil, ok; end
		if not ok then
			for _, to in ipairs(jids) do
				roster[to], pending[to] = before[to] or nil, pending_before[to];
			end
			return nil, "internal-server-error", "the roster could not be saved: "..tostring(err);
		end
	end

	-- From here on it has happened: an error is logged, not undone.
	local final, final_version = {}, roster[false].version;
	for _, to in ipairs(jids) do final[to] = roster[to]; end
	local function restore()
		for _, to in ipairs(jids) do roster[to] = final[to]; end
		roster[false].version = final_version;
	end
	local function push(entry, n)
		roster[entry.to] = entry.item;
		if version ~= true then roster[false].version = (version or 0) + n; end
		rostermanager.roster_push(username, module.host, entry.to);
		restore();
	end
	local pushed = 0;
	for _, action in ipairs(actions) do
		local presence = action.presence;
		local to, kind = presence.attr.to, presence.attr.type;
		local ok, err = pcall(function ()
			if action.push then pushed = pushed + 1; push(action.push, pushed); end
			if not action.route then return; end
			prosody.core_post_stanza(session, presence);
			if kind == "subscribed" then
				presence_module.send_presence_of_available_resources(username, module.host, to, session);
				if action.receives then
					prosody.core_post_stanza(session, st.presence({ type = "probe", from = user, to = to }));
				end
			elseif kind == "unsubscribed" and action.granted then
				presence_module.send_presence_of_available_resources(username, module.host, to, session,
					st.presence({ type = "unavailable" }));
			end
		end);
		if not ok then
			restore();
			module:log("error", "sending %s from %s to %s: %s", kind, user, to, err);
		end
	end
	return jids, roster;
end

-- Name and groups of many entries, made where they are missing, or removed where nothing stands
-- between the two: all or none, in one save. Returns true, or nil, condition, why.
local function set_entries(username, entries)
	if not user_exists(username, module.host) then return nil, "item-not-found", "no such user"; end
	local user, wanted, jids = username.."@"..module.host, {}, {};
	for _, tag in ipairs(entries.tags) do
		local address = jid.prep(tag.attr.jid);
		if tag.name ~= "item" or tag.attr.xmlns ~= "jabber:iq:roster" or not address or address == user
			or jid.resource(address) or wanted[address] then
			return nil, "bad-request", "entries takes roster items, each with another bare address";
		end
		wanted[address] = tag;
		table.insert(jids, address);
	end
	if #jids == 0 or #jids > 500 then return nil, "bad-request", "entries takes 1 to 500 items"; end
	local roster, load_err = rostermanager.load_roster(username, module.host);
	if load_err then return nil, "internal-server-error", "the roster could not be loaded"; end
	local before, version, changed = {}, roster[false].version, {};
	for _, address in ipairs(jids) do
		local tag, item = wanted[address], copy_item(roster[address]);
		before[address] = item or false;
		if tag.attr.subscription ~= "remove" then
			local new = copy_item(item) or { subscription = "none" };
			new.name, new.groups = tag.attr.name, {};
			for group in tag:childtags("group", "jabber:iq:roster") do new.groups[group:get_text()] = true; end
			roster[address] = new;
			table.insert(changed, address);
		elseif item and item.subscription == "none" and not item.ask then
			roster[address] = nil;
			table.insert(changed, address);
		end
	end
	if #changed == 0 then return true; end
	local called, ok, err = pcall(save, username, roster, changed, #changed);
	if not called then roster[false].version, ok, err = version, nil, ok; end
	if not ok then
		for _, address in ipairs(jids) do roster[address] = before[address] or nil; end
		return nil, "internal-server-error", "the roster could not be saved: "..tostring(err);
	end
	local final_version = roster[false].version;
	for n, address in ipairs(changed) do
		if version ~= true then roster[false].version = (version or 0) + n; end
		rostermanager.roster_push(username, module.host, address);
	end
	roster[false].version = final_version;
	return true;
end

-- Which of the entries that a component asks for are there: their addresses and the roster, or nil,
-- condition, why.
local function chosen(username, entries)
	if not user_exists(username, module.host) then return nil, "item-not-found", "no such user"; end
	if #entries.tags == 0 or #entries.tags > 500 then return nil, "bad-request", "entries takes 1 to 500 items"; end
	local jids, listed = {}, {};
	for _, tag in ipairs(entries.tags) do
		local address = jid.prep(tag.attr.jid);
		if tag.name ~= "item" or tag.attr.xmlns ~= "jabber:iq:roster" or not address then
			return nil, "bad-request", "entries takes roster items, each with an address";
		end
		if not listed[address] then table.insert(jids, address); end
		listed[address] = true;
	end
	local roster, load_err = rostermanager.load_roster(username, module.host);
	-- One that could not be read is kept, as if it were empty.
	if load_err or roster[false].broken then
		return nil, "internal-server-error", "the roster could not be loaded";
	end
	return jids, roster;
end

return {
	set_entries = set_entries;
	chosen = chosen;
	strip = strip;
	stand_in = stand_in;
	blocked = blocked;
	add_items = add_items;
	send_as = send_as;
};
