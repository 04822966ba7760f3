-- Says in the log each time a roster is written whole, so that a test can count.

module:hook("store-opened", function (event)
	if event.store_name ~= "roster" or event.store_type ~= "keyval" then return; end
	local store = event.store;
	local counting = setmetatable({}, { __index = store });
	function counting:set(username, data)
		module:log("debug", "Roster of %s saved", username);
		return store:set(username, data);
	end
	event.store = counting;
end);
