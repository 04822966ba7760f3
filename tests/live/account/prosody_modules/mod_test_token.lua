-- Writes a token for the account `test_token_jid` to the file `test_token_path`, as a web portal
-- gets one when somebody logs in there (mod_tokenauth of Prosody 13).

local jid = module:get_option_string("test_token_jid");
if jid:match("@(.+)$") ~= module.host then return; end
local tokens = module:depends "tokenauth";
local grant = assert(tokens.create_grant(jid, jid, 3600));
local token = assert(tokens.create_token(jid, grant.id, "prosody:registered", 3600));
local file = assert(io.open(module:get_option_string("test_token_path"), "w"));
file:write(token);
file:close();
