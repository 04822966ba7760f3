"""Files over HTTP, got and put by aiohttp."""
