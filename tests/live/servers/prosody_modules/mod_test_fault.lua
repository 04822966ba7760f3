-- Answers requests for the moved statement of chosen accounts in ways no real server should.
-- The folder `test_fault_path` holds one file per account, named <localpart>@<host>:
-- first line "silent", "error" or "result"; the rest is the <error/> or <pubsub/> element.
-- Files are read at each request, so that a test can change its mind while the server runs.

local st = require "util.stanza";
local xml = require "util.xml";

local folder = module:get_option_string("test_fault_path");
if not folder then return; end

local function read(node)
	local file = io.open(folder .. "/" .. node .. "@" .. module.host);
	if not file then return nil; end
	local kind, payload = file:read("l"), file:read("a");
	file:close();
	return kind, payload;
end

local function answer(event)
	local stanza = event.stanza;
	local node = (stanza.attr.to or ""):match("^([^@/]+)@");
	local items = stanza.tags[1] and stanza.tags[1]:get_child("items");
	if not node or not items or items.attr.node ~= "urn:xmpp:moved:1" then return; end
	local kind, payload = read(node);
	if not kind then return; end
	module:log("debug", "Statement of %s asked by %s: fault '%s'", node, stanza.attr.from, kind);
	if kind == "silent" then return true; end
	local reply = st.reply(stanza);
	if kind == "error" then reply.attr.type = "error"; end
	if payload:match("%S") then
		reply:add_child((assert(xml.parse(payload))));
	end
	event.origin.send(reply);
	return true;
end

-- mod_iq tries "iq/bare" before "iq-get/bare", and mod_pep answers there.
module:hook("iq/bare/http://jabber.org/protocol/pubsub:pubsub", function (event)
	if event.stanza.attr.type == "get" then return answer(event); end
end, 1000);
