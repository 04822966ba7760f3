%%% Who has a name: an account that is deleted takes everything of its owner with it.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, section 13. Each account that the component asks about gets a random token,
%%% which goes with the account: whoever takes the name next has another one. The tokens are in a
%%% table of our own on disk, on every node of a cluster, whatever database the server uses: a user
%%% can neither read nor change them. ejabberd deletes no data of others by itself, so this module
%%% has to be loaded while accounts are deleted.

-module(mod_moved_hook_account).

-export([create_table/0, token/2, known/2, same/2, meant/2]).
%% hooks
-export([remove_user/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-record(moved_account, {us :: {binary(), binary()}, token :: binary()}).

-spec create_table() -> any().
create_table() ->
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_account,
                     [{disc_copies, [node()]},
                      {attributes, record_info(fields, moved_account)}]).

%% The token of the account that has this name, made when it is first asked for.
-spec token(binary(), binary()) -> binary() | none.
token(LUser, Host) ->
    case {ejabberd_auth:user_exists(LUser, Host), known(LUser, Host)} of
        {true, none} ->
            %% Made past the server, so that it told nobody (a directory, SQL by hand).
            mod_moved_hook_keep:settle(LUser, Host),
            make({LUser, Host});
        {true, Token} -> Token;
        {false, _} -> none
    end.

%% The one that is kept for this name: also where the account is being deleted.
-spec known(binary(), binary()) -> binary() | none.
known(LUser, Host) ->
    case mnesia:dirty_read(moved_account, {LUser, Host}) of
        [#moved_account{token = Token}] -> Token;
        [] -> none
    end.

%% One that others have seen must outlive a server that dies; mnesia writes its log up to 2 s late.
-spec make({binary(), binary()}) -> binary().
make(US) ->
    F = fun() ->
                case mnesia:wread({moved_account, US}) of
                    [#moved_account{token = Token}] ->
                        Token;
                    [] ->
                        Token = p1_rand:get_alphanum_string(24),
                        mnesia:write(#moved_account{us = US, token = Token}),
                        Token
                end
        end,
    {atomic, Token} = mnesia:transaction(F),
    ok = mnesia:sync_log(),
    Token.

%% Whether an account is still the one that had this token.
-spec same(jid(), binary() | none) -> boolean().
same(#jid{luser = LUser, lserver = Host}, Token) ->
    Token /= none andalso token(LUser, Host) == Token.

%% Whether the account that an order means is the one that it would reach. An order need not say.
-spec meant(jid(), xmlel()) -> boolean().
meant(User, Order) ->
    case fxml:get_tag_attr_s(<<"account">>, Order) of
        <<>> -> true;
        Token -> same(User, Token)
    end.

%% Behind everything that takes the user's data away.
-spec remove_user(binary(), binary()) -> any().
remove_user(User, Server) ->
    {LUser, Host} = US = {jid:nodeprep(User), jid:nameprep(Server)},
    Known = known(LUser, Host),
    {atomic, ok} = mnesia:transaction(fun() -> mnesia:delete({moved_account, US}) end),
    ok = mnesia:sync_log(),
    Attrs = [{<<"jid">>, jid:encode({LUser, Host, <<>>})}
             | [{<<"account">>, Known} || Known /= none]],
    [ejabberd_router:route(
       #message{id = p1_rand:get_string(), from = jid:make(Host), to = jid:make(Component),
                sub_els = [mod_moved_hook:element(<<"deleted">>, Attrs, [])]})
     || Component <- mod_moved_hook:option(Host, component),
        mod_moved_hook:stream(Component) /= none].
