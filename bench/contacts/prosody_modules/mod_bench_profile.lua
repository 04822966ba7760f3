-- To which of Prosody's files its processor time goes; for measurements only.
--
-- Every hundred instructions a hook looks who runs, and charges that function's file with the
-- processor time since its last look. So what C functions take is charged to who called them, or to
-- who runs right after. The hook's own time is charged to nobody.
--
-- <begin/> forgets what there is; <end/> answers with <file name='util/stanza.lua' seconds='0.25'/>.

module:set_global();

local st = require "util.stanza";
local clock, getinfo, sethook = os.clock, debug.getinfo, debug.sethook;

local xmlns = "urn:xmpp-moved:bench:0";
local INSTRUCTIONS = 100;

local files, spent, last = {}, {}, nil;

local function look()
	if not last then return; end
	local used = clock() - last;
	local source = getinfo(2, "S").source;
	local file = files[source];
	if not file then
		file = source:match("[^/@]+/[^/]+$") or source:sub(1, 40);
		files[source] = file;
	end
	spent[file] = (spent[file] or 0) + used;
	last = clock();
end

-- Hooks belong to coroutines. Some sessions have one, which begins after this; the main loop runs the
-- others, and timers, but loads no modules.
local create = coroutine.create;
function coroutine.create(f) -- luacheck: ignore 122
	local thread = create(f);
	sethook(thread, look, "", INSTRUCTIONS);
	return thread;
end
module:add_timer(0, function () sethook(look, "", INSTRUCTIONS); end);

function module.add_host(host)
	host:hook("iq-set/host/"..xmlns..":begin", function (event)
		event.origin.send(st.reply(event.stanza));
		spent, last = {}, clock();
		return true;
	end);
	host:hook("iq-set/host/"..xmlns..":end", function (event)
		last = nil;
		local reply = st.reply(event.stanza):tag("profile", { xmlns = xmlns; });
		for file, seconds in pairs(spent) do
			reply:tag("file", { name = file; seconds = ("%.6f"):format(seconds); }):up();
		end
		event.origin.send(reply);
		return true;
	end);
end
