-- Contacts whom the deletion of an account that has moved does not cut off.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 14. Loaded once by mod_moved_hook.

local jid = require "util.jid";

local at_once, most = 500, 20000; -- items of an order; contacts of a user

local known; -- the token that is kept with an account's data
local kept, deleting = {}, {}; -- username -> { account, addresses, count }; the same while it is deleted

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

-- Around mod_roster (300), which tells each contact that the account is gone.
module:hook_global("user-deleted", function (event)
	if event.host ~= module.host then return; end
	local list = kept[event.username];
	kept[event.username] = nil;
	-- An account that nobody saw go (prosodyctl of 0.12) left its list to the next owner of its name.
	if list and list.account == known(event.username) then deleting[event.username] = list; end
end, 310);
module:hook_global("user-deleted", function (event)
	if event.host == module.host then deleting[event.username] = nil; end
end, 290);

-- Above mod_presence (-1), which sends what ends the subscriptions; for an ordinary removal of an entry
-- nothing is kept.
module:hook("roster-item-removed", function (event)
	local list, item = deleting[event.username], event.item;
	-- Who does not let the account see them has nothing to follow with.
	if list and list.addresses[event.jid] and item and (item.subscription == "to" or item.subscription == "both") then
		return true;
	end
end, 10);

return function (known_account)
	known = known_account;
	return keep;
end
