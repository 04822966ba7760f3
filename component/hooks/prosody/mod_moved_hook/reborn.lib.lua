-- Accounts that are deleted: whoever takes the name next gets nothing of theirs.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- Loaded by mod_moved_hook in each host's own environment.

-- core.rostermanager keeps the rosters of users who are offline and never forgets those of accounts
-- that are gone: it shows them to the next owner of the name (Prosody 0.12 and 13.0; docs/upstream.md).
local function forget(username)
	local cache = prosody.hosts[module.host].roster_cache;
	if cache then cache:set(username.."@"..module.host, nil); end
end

-- Behind mod_roster (300), which reads the roster once more, and all the others.
module:hook_global("user-deleted", function (event)
	if event.host == module.host then forget(event.username); end
end, -1000);

-- What another process deletes (prosodyctl of 0.12) makes no event here, and a request to a name that
-- nobody has fills the cache, too: the roster of who comes online is always read from the disk.
module:hook("pre-resource-bind", function (event)
	local username = event.session.username;
	if not prosody.hosts[module.host].sessions[username] then forget(username); end
end);
