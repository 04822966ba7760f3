-- Contacts whom the deletion of an account that has moved does not cut off.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 14. Loaded once by mod_moved_hook.

local st = require "util.stanza";
local jid = require "util.jid";
local rostermanager = require "core.rostermanager";

local at_once, most = 500, 20000; -- items of an order; contacts of a user

local known; -- the token that is kept with an account's data
local kept, deleting = {}, {}; -- username -> { account, addresses, count }; who is kept while it is deleted

-- What a component orders for the account that has this token: true, or nil, condition, why.
local function keep(username, account, payload)
	local more = payload.attr.more == "true" or payload.attr.more == "1";
	local wanted = {};
	for _, tag in ipairs(payload.tags) do
		local address = jid.prep(tag.attr.jid);
		if tag.name ~= "item" or tag.attr.xmlns ~= "jabber:iq:roster" or not address or jid.resource(address) then
			return nil, "bad-request", "keep takes roster items, each with a bare address";
		end
		wanted[address] = tag.attr.subscription ~= "remove";
	end
	if #payload.tags > at_once then return nil, "bad-request", "keep takes at most 500 items"; end
	local list = more and kept[username];
	if not list or list.account ~= account then list = { account = account, addresses = {}, count = 0 }; end
	for address, stays in pairs(wanted) do
		local was = list.addresses[address];
		if stays and not was and list.count < most then
			list.addresses[address], list.count = true, list.count + 1;
		elseif was and not stays then
			list.addresses[address], list.count = nil, list.count - 1;
		end
	end
	kept[username] = list.count > 0 and list or nil;
	return true;
end

-- Who was kept when an account was deleted, and so is owed what the server would have told them. It is
-- on disk, since the name may be given away years later; under keys that no name can be, for the server
-- purges what is kept under that of a deleted account.
local store = module:open_store("moved_hook_owed");
local owed; -- username -> true, of all that is in the store; read when it is first asked for
local function key(username) return "/"..username; end

local function is_owed(username)
	if not owed then
		local called, list = pcall(function ()
			local found = {};
			for name in store:users() do
				if name:sub(1, 1) == "/" then found[name:sub(2)] = true; end
			end
			return found;
		end);
		if not called then
			module:log("error", "who was kept for deleted accounts cannot be read: %s", list);
			return true; -- then each name is looked up by itself
		end
		owed = list;
	end
	return owed[username];
end

-- What the server would have said at the deletion (mod_presence), to whom it was not said. The contacts
-- of this server have their entries changed before this returns; what is for others has left.
local function settle(username)
	if not is_owed(username) then return true; end
	local called, list, err = pcall(store.get, store, key(username));
	if not called or err then
		module:log("error", "who was kept for %s cannot be read: %s", username, err or list);
		return false;
	end
	local from = username.."@"..module.host;
	for address, subscription in pairs(list and list.contacts or {}) do
		for _, kind in ipairs(subscription == "both" and { "unsubscribed", "unsubscribe" } or { "unsubscribe" }) do
			local sent, why = pcall(module.send, module, st.presence({ type = kind, from = from, to = address }));
			if not sent then module:log("error", "%s from %s to %s: %s", kind, from, address, why); end
		end
	end
	-- Last: what a server that dies now has not said is said once more, which changes nothing.
	local done, ok, why = pcall(store.set, store, key(username), nil);
	if not done or not ok then
		module:log("error", "%s: contacts who were told are told again: %s", from, why or ok);
	elseif owed then
		owed[username] = nil;
	end
	return true;
end

-- Around mod_roster (300), which tells each contact that the account is gone.
module:hook_global("user-deleted", function (event)
	if event.host ~= module.host then return; end
	local username = event.username;
	local list = kept[username];
	kept[username] = nil;
	-- An account that nobody saw go (prosodyctl of 0.12) left its list to the next owner of its name.
	if not list or list.account ~= known(username) then return; end
	local roster = rostermanager.load_roster(username, module.host);
	local contacts = {};
	for address in pairs(list.addresses) do
		-- Who does not let the account see them has nothing to follow with.
		local subscription = roster[address] and roster[address].subscription;
		if subscription == "to" or subscription == "both" then contacts[address] = subscription; end
	end
	if not next(contacts) then return; end
	is_owed(username);
	local called, ok, err = pcall(store.set, store, key(username), { contacts = contacts });
	if not called or not ok then
		-- Nobody is kept who could not be cut off later.
		module:log("error", "contacts of %s are told of its deletion at once: %s", username, err or ok);
		return;
	end
	if owed then owed[username] = true; end
	deleting[username] = contacts;
end, 310);
module:hook_global("user-deleted", function (event)
	if event.host == module.host then deleting[event.username] = nil; end
end, 290);

-- Above mod_presence (-1), which sends what ends the subscriptions; for an ordinary removal of an entry
-- nothing is kept.
module:hook("roster-item-removed", function (event)
	local contacts = deleting[event.username];
	if contacts and contacts[event.jid] then return true; end
end, 10);

return function (known_account)
	known = known_account;
	return { keep = keep; settle = settle; };
end
