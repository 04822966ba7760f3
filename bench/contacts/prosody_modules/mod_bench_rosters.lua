-- Makes and checks many accounts at once, in whatever storage the host has; for measurements only.
--
-- <fill password='..' filler='N'>: one line for each user, "user entry entry ..."; an entry is the
-- address of somebody the user shares presence with, or "+address" for one approved beforehand (RFC
-- 6121 3.4). N entries that nobody ever hears of come on top.
-- <verify old='to' new='from' ask='subscribe'>: one line for each user, "user old new"; answers how
-- many rosters have both entries in these states. What the attributes do not name is not looked at.

local st = require "util.stanza";
local rostermanager = require "core.rostermanager";

local xmlns = "urn:xmpp-moved:bench:0";
local accounts, rosters = module:open_store("accounts"), module:open_store("roster");

local function lines(tag)
	return coroutine.wrap(function ()
		for line in tag:get_text():gmatch("[^\n]+") do
			local words = {};
			for word in line:gmatch("%S+") do table.insert(words, word); end
			coroutine.yield(words);
		end
	end);
end

local function item(name)
	return { subscription = "both"; name = name; groups = { Friends = true; }; };
end

module:hook("iq-set/host/"..xmlns..":fill", function (event)
	local fill = event.stanza.tags[1];
	for words in lines(fill) do
		local user = table.remove(words, 1);
		local roster = { [false] = { version = 1; pending = {}; }; };
		for n = 1, tonumber(fill.attr.filler) do roster["f"..n.."@elsewhere.example"] = item("F"..n); end
		for _, entry in ipairs(words) do
			if entry:sub(1, 1) == "+" then
				roster[entry:sub(2)] = { subscription = "none"; approved = "true"; groups = {}; };
			else
				roster[entry] = item("Juliet");
			end
		end
		assert(accounts:set(user, { password = fill.attr.password; }));
		assert(rosters:set(user, roster));
	end
	event.origin.send(st.reply(event.stanza));
	return true;
end);

local function is(found, wanted)
	return wanted == nil or found == wanted;
end

module:hook("iq-get/host/"..xmlns..":verify", function (event)
	local verify, right = event.stanza.tags[1], 0;
	local states = verify.attr;
	for words in lines(verify) do
		local roster = rostermanager.load_roster(words[1], module.host);
		local old, new = roster[words[2]] or {}, roster[words[3]] or {};
		if is(old.subscription, states.old) and is(new.subscription, states.new)
			and is(new.ask, states.ask) then
			right = right + 1;
		end
	end
	event.origin.send(st.reply(event.stanza):tag("verify", { xmlns = xmlns; right = tostring(right); }));
	return true;
end);
