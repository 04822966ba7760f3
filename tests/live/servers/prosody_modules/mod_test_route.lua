-- Brings stanzas to a domain in a way of its own, as mod_onions does, and says so in the log.

module:hook("route/remote", function (event)
	if event.to_host ~= "onion.example" then return; end
	module:log("debug", "Routed by hand: %s", event.stanza.attr.type);
	return true;
end, 200);
