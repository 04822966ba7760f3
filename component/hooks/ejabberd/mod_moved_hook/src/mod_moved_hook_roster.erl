%%% What the hook does to rosters: sends subscription presences as a user, in one roster save.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, section 4. mod_roster saves, and works out the version, once for each
%%% presence; here one transaction of its database module (mnesia, SQL) does it for all.

-module(mod_moved_hook_roster).

-export([chosen/2, entries/2, is_shared/2, items/2, pending/1, send/2, send/4]).

-include("logger.hrl").
-include("ejabberd_sql_pt.hrl").
-include("mod_roster.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).

%% One presence of a send, and what it did to the entry of its addressee.
-record(step, {presence :: presence(), before :: #roster{}, later :: #roster{}, push :: boolean()}).

-type condition() :: 'bad-request' | 'item-not-found' | 'not-acceptable' | 'internal-server-error' |
                     changed.
-type names() :: #{jid:ljid() => roster_item()}.

%%% Reading -----------------------------------------------------------------------------------

%% The entries of these addresses as the user's devices see them.
-spec items(jid(), [jid:ljid()]) -> [roster_item()].
items(User, LJids) ->
    [mod_roster:encode_item(Shared) || {State, Item} <- read_all(User, LJids),
                                       Shared <- [shared(Item)],
                                       seen(Shared), State == stored orelse Shared /= Item].

-spec read_all(jid(), [jid:ljid()]) -> [{stored | new, #roster{}}].
read_all(#jid{luser = LUser, lserver = Host}, LJids) ->
    Mod = gen_mod:db_mod(Host, mod_roster),
    {atomic, Items} =
        Mod:transaction(Host, fun() -> [read(Mod, LUser, Host, LJid) || LJid <- LJids] end),
    Items.

%% Whose requests wait for the user's answer.
-spec pending(jid()) -> [jid:ljid()].
pending(#jid{luser = LUser, lserver = Host}) ->
    Mod = gen_mod:db_mod(Host, mod_roster),
    case Mod:get_roster(LUser, Host) of
        {ok, Items} -> [Item#roster.jid || #roster{ask = Ask} = Item <- Items,
                                           Ask == in orelse Ask == both];
        error -> []
    end.

-spec read(module(), binary(), binary(), jid:ljid()) -> {stored | new, #roster{}}.
read(Mod, LUser, Host, LJid) ->
    case Mod:get_roster_item(LUser, Host, LJid) of
        {ok, Item} -> {stored, Item};
        error -> {new, #roster{usj = {LUser, Host, LJid}, us = {LUser, Host}, jid = LJid}}
    end.

%% An entry may come from a shared group. (The hook roster_get_jid_info would tell, too, but makes
%% mod_roster load the whole roster.)
-spec shared(#roster{}) -> #roster{}.
shared(#roster{us = {LUser, Host}, jid = LJid, subscription = Subscription, ask = Ask,
               groups = Groups} = Item) ->
    Info = lists:foldl(
             fun(Mod, Acc) -> Mod:get_jid_info(Acc, LUser, Host, jid:make(LJid)) end,
             {Subscription, Ask, Groups},
             [Mod || Mod <- [mod_shared_roster, mod_shared_roster_ldap],
                     gen_mod:is_loaded(Host, Mod)]),
    case Info of
        {Subscription, Ask, Groups} -> Item;
        {S, A, G} -> Item#roster{subscription = S, ask = A, groups = G}
    end.

%% Whether the admin has put an address on the user's roster, by a shared group: whatever the user has
%% under it is not the user's to change.
-spec is_shared(jid(), jid:ljid()) -> boolean().
is_shared(#jid{luser = LUser, lserver = Host}, LJid) ->
    Nobody = #roster{usj = {LUser, Host, LJid}, us = {LUser, Host}, jid = LJid},
    shared(Nobody) /= Nobody.

%% A request that waits for the user's answer is stored with the roster but not part of it.
-spec seen(#roster{}) -> boolean().
seen(#roster{subscription = none, ask = in}) -> false;
seen(_) -> true.

%%% Many entries ------------------------------------------------------------------------------

%% Those of these addresses that a roster get shows: of mod_roster they alone, for there may be very
%% many others; then what the other modules make of any roster get.
-spec chosen(jid(), xmlel()) -> {ok, [roster_item()]} | {error, condition(), binary()}.
chosen(#jid{luser = LUser, lserver = Host} = User, Entries) ->
    case listed(User, Entries) of
        {ok, Items} ->
            Asked = maps:from_list([{jid:tolower(Jid), true} || #roster_item{jid = Jid} <- Items]),
            Own = [mod_roster:encode_item(Item)
                   || {stored, Item} <- read_all(User, maps:keys(Asked)), seen(Item)],
            All = lists:foldl(
                    fun({Mod, Function}, Acc) -> Mod:Function(Acc, {LUser, Host}) end, Own,
                    [Other || {Mod, _} = Other <- [{mod_mix_pam, get_mix_roster_items},
                                                   {mod_shared_roster, get_user_roster},
                                                   {mod_shared_roster_ldap, get_user_roster}],
                              gen_mod:is_loaded(Host, Mod)]),
            {ok, [Item#roster_item{mix_channel = undefined}
                  || #roster_item{jid = Jid} = Item <- All, is_map_key(jid:tolower(Jid), Asked)]};
        Error ->
            Error
    end.

%% Each entry as the user's own roster set would have it: mod_roster saves each by itself, which is
%% cheap here.
-spec entries(jid(), xmlel()) -> ok | {error, condition(), binary()}.
entries(User, Entries) ->
    case listed(User, Entries) of
        {ok, Items} -> set_entries(User, Items);
        Error -> Error
    end.

%% What a payload holds for a user who is there.
-spec listed(jid(), xmlel()) -> {ok, [roster_item()]} | {error, condition(), binary()}.
listed(#jid{luser = LUser, lserver = Host}, #xmlel{children = Children}) ->
    try [#roster_item{} = decode(El) || #xmlel{} = El <- Children] of
        Items when Items /= [], length(Items) =< 500 ->
            case ejabberd_auth:user_exists(LUser, Host) of
                true -> {ok, Items};
                false -> {error, 'item-not-found', <<"no such user">>}
            end;
        _ -> {error, 'bad-request', <<"entries takes 1 to 500 items">>}
    catch error:_ -> {error, 'bad-request', <<"entries takes roster items">>}
    end.

-spec set_entries(jid(), [roster_item()]) -> ok | {error, condition(), binary()}.
set_entries(_, []) -> ok;
set_entries(User, [Item | Rest]) ->
    IQ = #iq{type = set, id = p1_rand:get_string(), lang = <<"en">>, from = User, to = User,
             sub_els = [#roster_query{items = [Item#roster_item{ask = undefined}]}]},
    case left_alone(User, Item) orelse mod_roster:process_iq(IQ) of
        true -> set_entries(User, Rest);
        #iq{type = result} -> set_entries(User, Rest);
        _ -> {error, 'not-acceptable', <<"the server does not take an entry">>}
    end.

%% An entry with a subscription is not removed, for that would end it; of one from a shared group,
%% mod_shared_roster would make the user's own.
-spec left_alone(jid(), roster_item()) -> boolean().
left_alone(User, #roster_item{jid = Jid, subscription = remove}) ->
    [] /= [Item || #roster_item{subscription = Subscription, ask = Ask} = Item
                       <- items(User, [jid:tolower(Jid)]),
                   Subscription /= none orelse Ask /= undefined];
left_alone(User, #roster_item{jid = Jid}) ->
    is_shared(User, jid:tolower(Jid)).

%%% Sending -----------------------------------------------------------------------------------

%% All or nothing. Returns the touched addresses.
-spec send(jid(), xmlel()) -> {ok, [jid:ljid()]} | {error, condition(), binary()}.
send(User, Send) ->
    send(User, Send, [], fun() -> true end).

%% The same if Still() is true in the transaction of the change: otherwise the error is "changed".
%% Seen: the entries that Still() reads.
-spec send(jid(), xmlel(), [jid:ljid()], fun(() -> boolean())) ->
          {ok, [jid:ljid()]} | {error, condition(), binary()}.
send(#jid{luser = LUser, lserver = Host} = User, Send, Seen, Still) ->
    case parse(User, Send) of
        {[_ | _] = Presences, Names} when length(Presences) =< 16 ->
            case ejabberd_auth:user_exists(LUser, Host) of
                true -> save(User, Presences, Names, Seen, Still);
                false -> {error, 'item-not-found', <<"no such user">>}
            end;
        {_, _} -> {error, 'bad-request', <<"a send takes 1 to 16 presences">>};
        error -> {error, 'bad-request', <<"a send takes presences of the subscription types and "
                                          "roster items, each with the bare address of another "
                                          "user">>}
    end.

-spec parse(jid(), xmlel()) -> {[presence()], names()} | error.
parse(User, #xmlel{children = Children}) ->
    Bare = jid:tolower(User),
    Another = fun(Jid) -> case jid:tolower(Jid) of
                              {<<_, _/binary>>, _, <<>>} = LJid when LJid /= Bare -> LJid
                          end
              end,
    try
        Parsed = [case decode(El) of
                      #presence{type = Type, to = To} = Presence
                        when Type == subscribe; Type == subscribed;
                             Type == unsubscribe; Type == unsubscribed ->
                          _ = Another(To),
                          Presence#presence{from = User};
                      #roster_item{jid = Jid} = Item ->
                          {Another(Jid), Item}
                  end || #xmlel{} = El <- Children],
        {[P || #presence{} = P <- Parsed], maps:from_list([Named || {_, _} = Named <- Parsed])}
    catch error:_ -> error
    end.

-spec decode(xmlel()) -> presence() | roster_item().
decode(El) ->
    case {El#xmlel.name, fxml:get_tag_attr_s(<<"xmlns">>, El)} of
        {<<"presence">>, ?NS_CLIENT} -> xmpp:decode(El, ?NS_CLIENT, [ignore_els]);
        {<<"item">>, ?NS_ROSTER} -> xmpp:decode(El)
    end.

%% What ejabberd_c2s asks before it lets a user's own subscription presence out.
-spec may_send(jid(), presence()) -> boolean().
may_send(#jid{lserver = Host} = User, Presence) ->
    Access = gen_mod:get_module_opt(Host, mod_roster, access),
    allow == acl:match_rule(Host, Access, User) andalso
        mod_moved_hook_divert:allowed(User, Presence, out).

-spec save(jid(), [presence()], names(), [jid:ljid()], fun(() -> boolean())) ->
          {ok, [jid:ljid()]} | {error, condition(), binary()}.
save(#jid{luser = LUser, lserver = Host} = User, Presences, Names, Seen, Still) ->
    Mod = gen_mod:db_mod(Host, mod_roster),
    LJids = unique([jid:tolower(To) || #presence{to = To} <- Presences]),
    %% Not in the transaction: mod_pres_counter counts in the process that asks, and with SQL that
    %% is one for all.
    Allowed = lists:all(fun(P) -> may_send(User, P) end, Presences),
    %% What the admin has put there stays; what is not ended here is not to be ended there.
    Shared = [LJid || LJid <- LJids, is_shared(User, LJid)],
    Sent = [P || #presence{type = Type, to = To} = P <- Presences,
                 Type == subscribe orelse Type == subscribed
                     orelse not lists:member(jid:tolower(To), Shared)],
    %% May run more than once, so nothing in here has an effect but what is rolled back. A refusal
    %% is a value, and no exit: mnesia and SQL understand those differently.
    F = fun() ->
                lock(Mod, LUser, Host, lists:usort(Seen ++ LJids)),
                case {Still(), Allowed} of
                    {true, true} -> write_all(Mod, User, Sent, Names, LJids, Shared);
                    {true, false} -> {refused, 'not-acceptable',
                                      <<"the server's rules or the user's block list forbid it">>};
                    {false, _} -> {refused, changed, <<"it is no longer as it was">>}
                end
        end,
    case Mod:transaction(Host, F) of
        {atomic, {refused, Condition, Text}} ->
            {error, Condition, Text};
        {atomic, {Steps, Version}} ->
            forget_cached(Mod, LUser, Host, LJids),
            %% mnesia writes its log within two seconds; a server that dies in that time must not
            %% forget a change that others were told of. One write serves all who wait for it.
            [ok = mnesia:sync_log() || Version /= false, Mod == mod_roster_mnesia],
            finish(User, Steps, Version),
            {ok, LJids};
        {aborted, Reason} ->
            ?ERROR_MSG("Could not save the roster of ~ts: ~p", [jid:encode(User), Reason]),
            {error, 'internal-server-error', <<"the roster could not be saved">>}
    end.

%% Mnesia keeps what a transaction has read; in SQL others may change it until it is written, also in
%% mod_roster's own transactions. So a first statement that changes nothing keeps the entries. (All
%% in one order, or two would wait for each other.)
-spec lock(module(), binary(), binary(), [jid:ljid()]) -> any().
lock(mod_roster_sql, LUser, LServer, LJids) ->
    lists:foreach(
      fun(LJid) ->
              SJID = jid:encode(LJid),
              ejabberd_sql:sql_query_t(
                ?SQL("update rosterusers set subscription=subscription"
                     " where username=%(LUser)s and %(LServer)H and jid=%(SJID)s"))
      end, LJids);
lock(_, _, _, _) ->
    ok.

-spec write_all(module(), jid(), [presence()], names(), [jid:ljid()], [jid:ljid()]) ->
          {[#step{}], false | true | binary()}.
write_all(Mod, #jid{luser = LUser, lserver = Host}, Presences, Names, LJids, Shared) ->
    Before = maps:from_list([{LJid, element(2, read(Mod, LUser, Host, LJid))} || LJid <- LJids]),
    Step = fun(Presence, Acc) -> step(Presence, Shared, Acc) end,
    {Steps, {Later, _}} = lists:mapfoldl(Step, {Before, Names}, Presences),
    Written = [write(Mod, maps:get(LJid, Before), maps:get(LJid, Later)) || LJid <- LJids],
    {Steps, lists:member(true, Written) andalso new_version(Mod, LUser, Host)}.

-spec unique([T]) -> [T].
unique([First | Rest]) -> [First | unique([Other || Other <- Rest, Other /= First])];
unique([]) -> [].

-spec step(presence(), [jid:ljid()], {#{jid:ljid() => #roster{}}, names()}) ->
          {#step{}, {#{jid:ljid() => #roster{}}, names()}}.
step(#presence{to = To, type = Type} = Presence, Shared, {Roster, Names}) ->
    LJid = jid:tolower(To),
    #{LJid := Before} = Roster,
    Changed = case lists:member(LJid, Shared) of
                  true -> Before;
                  false -> change(Type, Before)
              end,
    Push = shown(Changed) /= shown(Before),
    {Later, Names1} =
        case Names of
            #{LJid := Named} when Push -> {name(Changed, Named), maps:remove(LJid, Names)};
            #{} -> {Changed, Names}
        end,
    {#step{presence = Presence, before = Before, later = Later, push = Push},
     {Roster#{LJid => Later}, Names1}}.

%% RFC 6121 appendix A.2, by the four bits an entry is made of. The request that a "subscribed"
%% answers was held by the hook, so it counts as pending though no roster says so.
-spec change(atom(), #roster{}) -> #roster{}.
change(Type, #roster{subscription = Subscription, ask = Ask} = Item) ->
    To = lists:member(Subscription, [to, both]),
    From = lists:member(Subscription, [from, both]),
    Out = asked(Item),
    In = lists:member(Ask, [in, both]),
    case Type of
        subscribe -> set(To, From, Out orelse not To, In, Item);
        unsubscribe -> set(false, From, false, In, Item);
        subscribed -> set(To, true, Out, false, Item);
        unsubscribed -> set(To, false, Out, false, Item)
    end.

-spec set(boolean(), boolean(), boolean(), boolean(), #roster{}) -> #roster{}.
set(To, From, Out, In, Item) ->
    Subscription = case {To, From} of
                       {true, true} -> both;
                       {true, false} -> to;
                       {false, true} -> from;
                       {false, false} -> none
                   end,
    Ask = case {Out, In} of
              {true, true} -> both;
              {true, false} -> out;
              {false, true} -> in;
              {false, false} -> none
          end,
    Item#roster{subscription = Subscription, ask = Ask}.

-spec asked(#roster{}) -> boolean().
asked(#roster{ask = Ask}) -> lists:member(Ask, [out, both, subscribe]).

%% What a push shows of an entry's state.
-spec shown(#roster{}) -> {atom(), boolean()}.
shown(#roster{subscription = Subscription} = Item) -> {Subscription, asked(Item)}.

-spec name(#roster{}, roster_item()) -> #roster{}.
name(#roster{name = <<>>} = Item, #roster_item{name = Name} = Named) when Name /= <<>> ->
    name(Item#roster{name = Name}, Named);
name(#roster{groups = []} = Item, #roster_item{groups = Groups}) ->
    Item#roster{groups = Groups};
name(Item, _) ->
    Item.

%% True if something was written.
-spec write(module(), #roster{}, #roster{}) -> boolean().
write(_, Same, Same) ->
    false;
write(Mod, #roster{groups = Groups} = Before, #roster{us = {LUser, Host}, jid = LJid} = Item) ->
    Later = case lists:member(Item#roster.ask, [in, both]) of
                true -> Item;
                false -> Item#roster{askmessage = <<>>, xs = []}
            end,
    case Later of
        #roster{subscription = none, ask = none} when Before#roster.ask == in ->
            Mod:del_roster(LUser, Host, LJid);
        #roster{groups = Groups} ->
            Mod:roster_subscribe(LUser, Host, LJid, Later);
        _ ->
            Mod:update_roster(LUser, Host, LJid, Later)
    end,
    true.

-spec new_version(module(), binary(), binary()) -> true | binary().
new_version(Mod, LUser, Host) ->
    case gen_mod:get_module_opt(Host, mod_roster, store_current_id) of
        true ->
            Version = p1_rand:get_alphanum_string(20),
            Mod:write_roster_version(LUser, Host, true, Version),
            Version;
        false ->
            true
    end.

%% mod_roster keeps these caches and does the same after its own transactions.
-spec forget_cached(module(), binary(), binary(), [jid:ljid()]) -> ok.
forget_cached(Mod, LUser, Host, LJids) ->
    Nodes = case erlang:function_exported(Mod, cache_nodes, 1) of
                true -> Mod:cache_nodes(Host);
                false -> ejabberd_cluster:get_nodes()
            end,
    ets_cache:delete(roster_version_cache, {LUser, Host}, Nodes),
    ets_cache:delete(roster_cache, {LUser, Host}, Nodes),
    lists:foreach(fun(LJid) ->
                          ets_cache:delete(roster_item_cache, {LUser, Host, LJid}, Nodes)
                  end, LJids).

%%% What follows a save -----------------------------------------------------------------------

%% From here on it has happened: an error is logged, not undone.
-spec finish(jid(), [#step{}], false | true | binary()) -> ok.
finish(User, Steps, Version) ->
    Last = lists:foldl(fun(#step{push = true} = Step, _) -> Step; (_, Acc) -> Acc end, none, Steps),
    lists:foreach(
      fun(Step) ->
              try
                  [push(User, Step, version(User, Version, Step == Last)) || Step#step.push],
                  follow(User, Step)
              catch Class:Reason:Stack ->
                      ?ERROR_MSG("Failed to tell of a roster change of ~ts:~n** ~ts",
                                 [jid:encode(User),
                                  misc:format_exception(2, Class, Reason, Stack)])
              end
      end, Steps).

%% Only the last push carries the version of the roster as it is now; a device that loses its
%% connection before it asks for the whole roster again.
-spec version(jid(), true | binary(), boolean()) -> undefined | binary().
version(#jid{luser = LUser, lserver = Host}, Version, IsLast) ->
    case gen_mod:get_module_opt(Host, mod_roster, versioning) of
        false -> undefined;
        true when not IsLast -> p1_rand:get_alphanum_string(20);
        true when is_binary(Version) -> Version;
        true -> mod_roster:roster_version(Host, LUser)
    end.

-spec push(jid(), #step{}, undefined | binary()) -> ok.
push(#jid{luser = LUser, lserver = Host} = User, #step{later = Item}, Version) ->
    Query = #roster_query{ver = Version, items = [mod_roster:encode_item(Item)]},
    lists:foreach(
      fun(Resource) ->
              ejabberd_router:route(
                #iq{type = set, id = <<"push", (p1_rand:get_string())/binary>>, from = User,
                    to = jid:replace_resource(User, Resource), sub_els = [Query]})
      end, ejabberd_sm:get_user_resources(LUser, Host)).

%% The presence itself, and what others see of the user's devices because of it.
-spec follow(jid(), #step{}) -> any().
follow(User, #step{presence = #presence{type = subscribed, to = To} = Presence}) ->
    ejabberd_router:route(Presence),
    [mod_pubsub:out_subscription(Presence) || gen_mod:is_loaded(User#jid.lserver, mod_pubsub)],
    [ejabberd_c2s:resend_presence(Pid, To) || {_, Pid} <- present(User), is_pid(Pid)];
follow(User, #step{presence = #presence{type = unsubscribed, to = To} = Presence,
                   before = #roster{subscription = Subscription, ask = Ask}}) ->
    Granted = lists:member(Subscription, [from, both]),
    [show_unavailable(User, Resource, To) || Granted, {Resource, _} <- present(User)],
    [ejabberd_router:route(Presence) || Granted orelse lists:member(Ask, [in, both])];
follow(_, #step{presence = Presence}) ->
    ejabberd_router:route(Presence).

-spec present(jid()) -> [{binary(), pid() | none}].
present(#jid{luser = LUser, lserver = Host}) ->
    [{Resource, ejabberd_sm:get_session_pid(LUser, Host, Resource)}
     || {_, Resource} <- ejabberd_sm:get_user_present_resources(LUser, Host)].

-spec show_unavailable(jid(), binary(), jid()) -> any().
show_unavailable(#jid{lserver = Host} = User, Resource, To) ->
    From = jid:replace_resource(User, Resource),
    Unavailable = #presence{type = unavailable, from = From, to = To},
    case ejabberd_hooks:run_fold(privacy_check_packet, Host, allow, [From, Unavailable, out]) of
        allow -> ejabberd_router:route(Unavailable);
        deny -> ok
    end.
