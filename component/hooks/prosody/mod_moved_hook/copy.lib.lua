-- What of an account the component may read and write to carry it along: the admin's choice.
-- Copyright (c) 2026 the xmpp-moved authors. MIT licence.
-- docs/hook-protocol.md, section 5. Loaded by mod_moved_hook in each host's own environment.

local set = require "util.set";

local names = { "blocking", "pep", "private", "upload", "vcard" };

-- moved_hook_copy: what may be carried from an account to another, of these; "upload" is for
-- accounts as files in this server's own storage (XEP-0363). A move by itself needs none of them:
-- contacts, the moved statement and our own passing data are always allowed.
local chosen = module:get_option_set("moved_hook_copy", names);
local unknown = chosen - set.new(names);
if not unknown:empty() then
	error("moved_hook_copy: "..tostring(unknown).." is none of "..table.concat(names, ", "));
end

local xmlns_pubsub = "http://jabber.org/protocol/pubsub";

-- Nodes that a move needs whatever is carried; the nickname goes into requests, and is only read.
local function moves(kind, node)
	return node == "urn:xmpp:moved:1" or node:sub(1, 15) == "urn:xmpp-moved:"
		or kind == "get" and node == "http://jabber.org/protocol/nick";
end

-- Whether a payload may be sent as the user, to the user's own account or to somebody else.
local function may(kind, payload, own)
	local xmlns = payload.attr.xmlns;
	if xmlns == "vcard-temp" then
		return kind == "get" or chosen:contains("vcard");
	elseif xmlns == "urn:xmpp:blocking" then
		return kind == "get" or chosen:contains("blocking");
	elseif xmlns == "jabber:iq:private" then
		return chosen:contains("private");
	elseif xmlns == "urn:xmpp:http:upload:0" then
		return kind == "get" and not own and chosen:contains("upload");
	elseif xmlns == "http://jabber.org/protocol/disco#items" then
		return chosen:contains("pep") or not own and chosen:contains("upload");
	elseif own and (xmlns == xmlns_pubsub or xmlns == xmlns_pubsub.."#owner") and not chosen:contains("pep") then
		for _, action in ipairs(payload.tags) do
			local node = action.attr.node;
			if node and not moves(kind, node) then return false; end
		end
		local first = payload.tags[1];
		return first ~= nil and first.attr.node ~= nil;
	end
	return true;
end

return {
	may = may;
	parts = function ()
		local found = {};
		for name in chosen do table.insert(found, name); end
		table.sort(found);
		return found;
	end;
};
