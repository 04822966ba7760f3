-- Who has a name: an account that is deleted takes everything of its owner with it.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 13. Loaded by mod_moved_hook in each host's own environment.

local new_id = require "util.uuid".generate;
local user_exists = require "core.usermanager".user_exists;

-- A random token that is kept with the account's own data. Prosody purges every store of a user who
-- is deleted, whoever deletes it and whether this module is loaded or not; so whoever takes the name
-- next has another token. Nothing is kept in memory: prosodyctl of 0.12 deletes in a process of its
-- own, of which this one hears nothing.
local tokens = module:open_store("moved_hook");

-- The token that is kept with an account's data: also where it is being deleted.
local function known(username)
	local called, data, err = pcall(tokens.get, tokens, username);
	if not called or err then return nil, err or data; end
	return data and data.account or nil;
end

-- Told of each account that may have a name which was another's, before it can do anything.
local newcomer = function () return true; end

-- The token of the account that has this name, made when it is first asked for; nil and a condition
-- where there is no such user, or it cannot be kept.
local function token(username)
	if not user_exists(username, module.host) then return nil, "item-not-found"; end
	local kept, err = known(username);
	if kept then return kept; end
	if err or not newcomer(username) then return nil, "internal-server-error"; end
	local made = new_id();
	local called, ok = pcall(tokens.set, tokens, username, { account = made });
	if not called or not ok then return nil, "internal-server-error"; end
	return made;
end

-- core.rostermanager keeps the rosters of users who are offline and never forgets those of accounts
-- that are gone: it shows them to the next owner of the name (Prosody 0.12 and 13.0; docs/upstream.md).
local function forget(username)
	local cache = prosody.hosts[module.host].roster_cache;
	if cache then cache:set(username.."@"..module.host, nil); end
end

-- Behind mod_roster (300), which reads the roster once more, and all the others. The account is gone,
-- its stores are purged only after this event: the token can be read still.
module:hook_global("user-deleted", function (event)
	if event.host ~= module.host then return; end
	forget(event.username);
	module:fire_event("moved-hook-deleted", { username = event.username; account = known(event.username); });
end, -1000);

-- What another process deletes (prosodyctl of 0.12) makes no event here, and a request to a name that
-- nobody has fills the cache, too: the roster of who comes online is always read from the disk.
module:hook("pre-resource-bind", function (event)
	local username = event.session.username;
	if prosody.hosts[module.host].sessions[username] then return; end
	forget(username);
	newcomer(username);
end, 100);

-- mod_register_ibr and others that register in this process. (prosodyctl makes no event here: then it is
-- the first session, or the first question whose name it is.)
module:hook("user-registered", function (event) newcomer(event.username); end, 100);

return { token = token; known = known; on_newcomer = function (handler) newcomer = handler; end };
