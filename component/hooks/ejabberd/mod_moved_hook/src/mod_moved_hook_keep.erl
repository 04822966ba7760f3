%%% Contacts whom the deletion of an account that has moved does not cut off.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, section 14. The lists are in a table in memory that all nodes of a cluster
%%% share. Who was kept when an account was deleted is in a table on the disk of every node: the name may
%%% be given away years later, and then they are told what the server would have told them.

-module(mod_moved_hook_keep).

-export([create_table/0, keep/2, settle/2]).
%% hooks
-export([register_user/2, remove_user/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

%% Items of an order, and entries that are read at once; contacts of a user.
-define(AT_ONCE, 500).
-define(MOST, 20000).

-record(moved_keep, {us :: {binary(), binary()},
                     account :: binary(),
                     contacts = #{} :: #{jid:ljid() => []}}).

-record(moved_owed, {us :: {binary(), binary()},
                     contacts :: [{jid:ljid(), to | both}]}).

-spec create_table() -> any().
create_table() ->
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_owed,
                     [{disc_copies, [node()]}, {attributes, record_info(fields, moved_owed)}]),
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_keep,
                     [{ram_copies, [node()]}, {attributes, record_info(fields, moved_keep)}]).

%% What a component orders.
-spec keep(jid(), xmlel()) -> ok | {error, atom(), binary()}.
keep(#jid{luser = LUser, lserver = Host}, #xmlel{children = Children} = Order) ->
    try [item(El) || #xmlel{} = El <- Children] of
        Items when length(Items) =< ?AT_ONCE ->
            case mod_moved_hook_account:token(LUser, Host) of
                none ->
                    {error, 'item-not-found', <<"no such user">>};
                Account ->
                    More = fxml:get_tag_attr_s(<<"more">>, Order),
                    set({LUser, Host}, Account, lists:member(More, [<<"true">>, <<"1">>]), Items)
            end;
        _ ->
            {error, 'bad-request', <<"keep takes at most 500 items">>}
    catch error:_ ->
            {error, 'bad-request', <<"keep takes roster items, each with a bare address">>}
    end.

-spec item(xmlel()) -> {jid:ljid(), boolean()}.
item(#xmlel{name = <<"item">>} = El) ->
    ?NS_ROSTER = fxml:get_tag_attr_s(<<"xmlns">>, El),
    {_, _, <<>>} = LJid = jid:tolower(jid:decode(fxml:get_tag_attr_s(<<"jid">>, El))),
    {LJid, fxml:get_tag_attr_s(<<"subscription">>, El) /= <<"remove">>}.

-spec set({binary(), binary()}, binary(), boolean(), [{jid:ljid(), boolean()}]) -> ok.
set(US, Account, More, Items) ->
    Before = case mnesia:dirty_read(moved_keep, US) of
                 [#moved_keep{account = Account, contacts = Contacts}] when More -> Contacts;
                 _ -> #{}
             end,
    After = lists:foldl(fun({LJid, true}, Acc) when map_size(Acc) < ?MOST -> Acc#{LJid => []};
                           ({_, true}, Acc) -> Acc;
                           ({LJid, false}, Acc) -> maps:remove(LJid, Acc)
                        end, Before, Items),
    case map_size(After) of
        0 -> mnesia:dirty_delete(moved_keep, US);
        _ -> mnesia:dirty_write(#moved_keep{us = US, account = Account, contacts = After})
    end.

%% Before mod_roster (50), which tells each contact on the roster that the account is gone: whoever is
%% not on it any more is told nothing. That the user's devices are gone they have to hear, for the
%% session ends by the roster as it is then.
-spec remove_user(binary(), binary()) -> any().
remove_user(User, Server) ->
    {LUser, Host} = US = {jid:nodeprep(User), jid:nameprep(Server)},
    case mnesia:dirty_read(moved_keep, US) of
        [#moved_keep{account = Account, contacts = Contacts}] ->
            mnesia:dirty_delete(moved_keep, US),
            %% One that went while this module was not loaded left its list to the next owner.
            case mod_moved_hook_account:known(LUser, Host) of
                Account ->
                    Resources = [R || {_, R} <- ejabberd_sm:get_user_present_resources(LUser, Host)],
                    leave(jid:make(LUser, Host), Resources, maps:keys(Contacts));
                _ ->
                    ok
            end;
        [] ->
            ok
    end.

%% On the disk first: nobody is kept who could not be cut off later.
-spec leave(jid(), [binary()], [jid:ljid()]) -> any().
leave(User, Resources, LJids) ->
    case followers(User, LJids) of
        [] ->
            ok;
        Kept ->
            {LUser, Host, _} = jid:tolower(User),
            Owed = #moved_owed{us = {LUser, Host},
                               contacts = [{jid:tolower(Jid), Subscription}
                                           || {Jid, Subscription} <- Kept]},
            {atomic, ok} = mnesia:transaction(fun() -> mnesia:write(Owed) end),
            ok = mnesia:sync_log(),
            [leave_out(User, Resources, Jid) || {Jid, _} <- Kept]
    end.

%% Who does not let the account see them has nothing to follow with.
-spec followers(jid(), [jid:ljid()]) -> [{jid(), to | both}].
followers(_, []) ->
    [];
followers(User, LJids) ->
    {Some, Rest} = lists:split(min(?AT_ONCE, length(LJids)), LJids),
    [{Jid, Subscription}
     || #roster_item{jid = Jid, subscription = Subscription} <- mod_moved_hook_roster:items(User, Some),
        lists:member(Subscription, [to, both])]
        ++ followers(User, Rest).

-spec leave_out(jid(), [binary()], jid()) -> any().
leave_out(#jid{luser = LUser, lserver = Host} = User, Resources, Contact) ->
    [ejabberd_router:route(#presence{type = unavailable, to = Contact,
                                     from = jid:replace_resource(User, Resource)})
     || Resource <- Resources],
    case mod_roster:del_roster(LUser, Host, jid:tolower(Contact)) of
        {atomic, _} -> ok;
        Error -> ?ERROR_MSG("~ts may be cut off from ~ts, whose account is deleted: ~p",
                            [jid:encode(Contact), jid:encode(User), Error])
    end.

%% Somebody has the name from now on.
-spec register_user(binary(), binary()) -> any().
register_user(User, Server) -> settle(jid:nodeprep(User), jid:nameprep(Server)).

%% What the server would have said at the deletion, to whom it was not said. The contacts of this server
%% have their entries changed before this returns; what is for others has left. A server that dies in
%% between says it once more, which changes nothing.
-spec settle(binary(), binary()) -> any().
settle(LUser, Host) ->
    case mnesia:dirty_read(moved_owed, {LUser, Host}) of
        [#moved_owed{contacts = Contacts}] ->
            From = jid:make(LUser, Host),
            [ejabberd_router:route(#presence{type = Type, from = From, to = jid:make(LJid)})
             || {LJid, Subscription} <- Contacts,
                Type <- [unsubscribed || Subscription == both] ++ [unsubscribe]],
            {atomic, ok} = mnesia:transaction(fun() -> mnesia:delete({moved_owed, {LUser, Host}}) end),
            ok = mnesia:sync_log();
        [] ->
            ok
    end.
