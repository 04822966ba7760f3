%%% Which subscription requests the component is asked about, and what becomes of them.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, sections 1 to 3: requests with a moved notification (XEP-0283), and all
%%% requests to users that the component watches. mod_moved_hook_held holds them.

-module(mod_moved_hook_divert).

%% hooks
-export([in_subscription/2, remove_user/2, user_send_packet/1, session_resumed/1]).
%% for mod_moved_hook_held
-export([answered/2, ended/2]).
%% for the other modules
-export([allowed/3]).
%% for the timer
-export([ask_again/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).

%% Of a request that is asked about.
-define(MOST_BYTES, 8192).

%% For how long who is over its share is not asked about.
-define(PASS, timer:seconds(1)).

-type entries() :: {[jid:ljid()], [roster_item()]}.

%%% Asking (section 1) ------------------------------------------------------------------------

-spec in_subscription(boolean(), presence()) -> boolean() | {stop, false}.
in_subscription(Acc, #presence{meta = #{moved_hook := released}}) ->
    Acc;
in_subscription(Acc, #presence{type = subscribe} = Presence) ->
    try divert(Presence) of
        true -> {stop, false};
        false -> Acc
    catch Class:Reason:Stack ->
            ?ERROR_MSG("Failed to divert, processed as usual:~n** ~ts",
                       [misc:format_exception(2, Class, Reason, Stack)]),
            Acc
    end;
%% Taken back while it is held: nobody is to see it, nor to answer it.
in_subscription(Acc, #presence{type = unsubscribe} = Presence) ->
    [mod_moved_hook_held:finish(Pid, withdrawn)
     || {_, Pid} <- mod_moved_hook_held:requests(key(Presence))],
    Acc;
in_subscription(Acc, _) ->
    Acc.

%% What is held was for somebody who is gone; whoever gets this name next is somebody else.
-spec remove_user(binary(), binary()) -> any().
remove_user(User, Server) ->
    [mod_moved_hook_held:finish(Pid, {released, changed})
     || Pid <- mod_moved_hook_held:requests_to(jid:nodeprep(User), jid:nameprep(Server))].

-spec key(presence()) -> mod_moved_hook_held:key().
key(#presence{from = From, to = #jid{luser = LUser, lserver = Host}}) ->
    {{LUser, Host}, bare(From)}.

%% Whoever is asked already is not asked again: by the same notification, or without one, as servers
%% repeat a request when their user comes online. Another old address is another question.
-spec divert(presence()) -> boolean().
divert(#presence{to = #jid{luser = LUser, lserver = Host} = To} = Presence) ->
    Old = within_share(old_jid(Presence), Presence),
    Held = mod_moved_hook_held:requests(key(Presence)),
    case lists:keymember(Old, 1, Held) orelse moved(Old, Presence) of
        {_, _} = Entries ->
            hold(Entries, [], mod_moved_hook:component_for(Host, LUser), Old, Presence);
        Moved when Moved == true; Held /= [] ->
            mod_moved_hook:count(Host, joined),
            true;
        none when To#jid.lresource == <<>> ->
            case mod_moved_hook_watch:watcher(To, requests) of
                none -> false;
                Watcher -> hold(wanted(Presence), [{<<"watched">>, <<"true">>}], Watcher, none,
                                Presence)
            end;
        _ ->
            false
    end.

%% Of a sender who, or whose domain, has used up its share, the component would only say so again:
%% its requests are as any other.
-spec within_share(jid:ljid() | none, presence()) -> jid:ljid() | none.
within_share(none, _) ->
    none;
within_share(Old, #presence{from = From, to = #jid{lserver = Host}}) ->
    Who = [jid:encode(jid:remove_resource(From)), From#jid.lserver],
    case lists:any(fun(One) -> [] /= mod_moved_hook:lookup(Host, {passes, One}) end, Who) of
        true ->
            mod_moved_hook:count(Host, limited),
            none;
        false ->
            Old
    end.

-spec let_pass(binary(), xmlel() | none) -> any().
let_pass(_, none) ->
    ok;
let_pass(Host, Release) ->
    case fxml:get_tag_attr_s(<<"pass">>, Release) of
        <<>> ->
            ok;
        Who ->
            ets:insert(mod_moved_hook:table(Host), {{passes, Who}, true}),
            timer:apply_after(?PASS, ?MODULE, ask_again, [Host, Who])
    end.

-spec ask_again(binary(), binary()) -> any().
ask_again(Host, Who) -> catch ets:delete(mod_moved_hook:table(Host), {passes, Who}).

%% The first <old-jid/> of the notification, if it is a bare JID.
-spec old_jid(presence()) -> jid:ljid() | none.
old_jid(Presence) ->
    try
        Moved = mod_moved_hook:child(<<"moved">>, ?NS_MOVED, Presence),
        [OldJid | _] = [El || #xmlel{name = <<"old-jid">>} = El <- Moved#xmlel.children,
                              lists:member(fxml:get_tag_attr_s(<<"xmlns">>, El), [<<>>, ?NS_MOVED])],
        {_, _, <<>>} = jid:tolower(jid:decode(fxml:get_tag_cdata(OldJid)))
    catch error:_ -> none
    end.

%% XEP-0283 4.3: ignored unless the old address has an approved subscription to the user. Nor may
%% somebody who is blocked come back under another name: that is whoever may not write, by whatever
%% kind of list.
-spec moved(jid:ljid() | none, presence()) -> entries() | none | blocked.
moved(none, _) ->
    none;
moved(_, #presence{to = #jid{lresource = <<_, _/binary>>}}) ->
    none;
moved(Old, #presence{from = From, to = To}) ->
    New = bare(From),
    Touched = [Old | [New || New /= Old]],
    Items = mod_moved_hook_roster:items(To, Touched),
    case {granted(Old, Items), allowed(To, #message{from = jid:make(Old), to = To}, in)} of
        {_, false} -> blocked;
        {true, true} -> {Touched, Items};
        {false, true} -> none
    end.

%% A sender who is approved already needs nobody: the server answers by itself.
-spec wanted(presence()) -> entries() | none.
wanted(#presence{from = From, to = To}) ->
    Sender = bare(From),
    Items = mod_moved_hook_roster:items(To, [Sender]),
    case granted(Sender, Items) of
        true -> none;
        false -> {[Sender], Items}
    end.

-spec granted(jid:ljid(), [roster_item()]) -> boolean().
granted(LJid, Items) ->
    lists:any(fun(#roster_item{jid = Jid, subscription = Subscription}) ->
                      jid:tolower(Jid) == LJid andalso
                          lists:member(Subscription, [from, both])
              end, Items).

-spec bare(jid()) -> jid:ljid().
bare(Jid) -> jid:tolower(jid:remove_resource(Jid)).

-spec hold(entries() | none, [{binary(), binary()}], {binary(), pid()} | none,
           jid:ljid() | none, presence()) -> boolean().
hold(none, _, _, _, _) ->
    false;
hold(Entries, Attrs, Component, Old, #presence{to = #jid{lserver = Host}} = Presence) ->
    Encoded = xmpp:encode(Presence),
    case {Component, byte_size(fxml:element_to_binary(Encoded))} of
        {none, _} ->
            mod_moved_hook:count(Host, passed),
            false;
        %% The component would only let go of it: no client of a mover sends so much.
        {_, Size} when Size > ?MOST_BYTES ->
            mod_moved_hook:count(Host, limited),
            false;
        _ ->
            ask(Entries, Attrs, Component, Old, Presence, Encoded)
    end.

-spec ask({[jid:ljid()], [roster_item()]}, [{binary(), binary()}], {binary(), pid()},
          jid:ljid() | none, presence(), xmlel()) -> boolean().
ask({Touched, Items}, Attrs, {Component, Stream}, Old,
    #presence{from = #jid{lserver = Sender},
              to = #jid{luser = LUser, lserver = Host} = To} = Presence, Encoded) ->
    Instance = mod_moved_hook:instance(Host),
    %% Fails where there is no such user (any more).
    <<_, _/binary>> = Account = mod_moved_hook_account:token(LUser, Host),
    Forwarded = #xmlel{name = <<"forwarded">>, attrs = [{<<"xmlns">>, ?NS_FORWARD}],
                       children = [Encoded]},
    Asked = [{<<"instance">>, Instance}, {<<"account">>, Account} | Attrs],
    Divert = mod_moved_hook:element(<<"divert">>, Asked,
                                    [Forwarded | mod_moved_hook:items(Items)]),
    Held = #{kind => ?MODULE, host => Host, component => Component, stream => Stream,
             ask => #iq{type = set, from = To, sub_els = [Divert]},
             request => {key(Presence), Old},
             users => [{to, LUser}, {owner, mod_moved_hook:owner(Sender)}],
             presence => Presence, touched => Touched, instance => Instance,
             account => Account},
    case mod_moved_hook:hold(Held) of
        true ->
            mod_moved_hook:count(Host, diverted),
            true;
        joined ->
            mod_moved_hook:count(Host, joined),
            true;
        false ->
            mod_moved_hook:count(Host, passed),
            false
    end.

%%% What the user's lists say ------------------------------------------------------------------

%% Whether a stanza may reach the user, or leave as the user: by the account's list (of XEP-0191, or
%% the default one of XEP-0016), which is all that the server asks where no session is meant, and by
%% each list that a session has made active: who blocks so means it.
-spec allowed(jid(), stanza(), in | out) -> boolean().
allowed(#jid{lserver = Host} = User, Stanza, Direction) ->
    allow == ejabberd_hooks:run_fold(privacy_check_packet, Host, allow, [User, Stanza, Direction])
        andalso lists:all(
                  fun(List) ->
                          Session = #{jid => User, privacy_active_list => List},
                          allow == mod_privacy:check_packet(allow, Session, Stanza, Direction)
                  end, active_lists(User)).

-spec active_lists(jid()) -> [binary()].
active_lists(#jid{luser = LUser, lserver = Host}) ->
    lists:usort([List || {_, Info} <- ejabberd_sm:get_user_info(LUser, Host),
                         {?MODULE, List} <- Info, List /= none]).

%% Only the session's own process knows which list is active; so it is noted with the session, where
%% all nodes find it.
-spec user_send_packet({stanza() | drop, ejabberd_c2s:state()}) ->
          {stanza() | drop, ejabberd_c2s:state()}.
user_send_packet({#iq{type = set, sub_els = [Payload]}, State} = Acc) ->
    [note_list(State) || xmpp:get_ns(Payload) == ?NS_PRIVACY],
    Acc;
user_send_packet(Acc) ->
    Acc.

-spec session_resumed(ejabberd_c2s:state()) -> ejabberd_c2s:state().
session_resumed(State) ->
    [note_list(State) || is_map_key(privacy_active_list, State)],
    State.

-spec note_list(ejabberd_c2s:state()) -> any().
note_list(#{user := User, server := Server, resource := Resource} = State) ->
    ejabberd_sm:set_user_info(User, Server, Resource, ?MODULE,
                              maps:get(privacy_active_list, State, none)).

%%% The verdict (section 2) -------------------------------------------------------------------

-spec answered(iq(), mod_moved_hook_held:held()) -> mod_moved_hook_held:result().
answered(IQ, #{host := Host} = Held) ->
    case mod_moved_hook:child(<<"take">>, ?NS_HOOK, IQ) of
        none ->
            let_pass(Host, mod_moved_hook:child(<<"release">>, ?NS_HOOK, IQ)),
            {released, verdict};
        Take ->
            case shared(Held) of
                true -> {released, shared};
                false -> take(mod_moved_hook:child(<<"send">>, ?NS_HOOK, Take), Held)
            end
    end.

%% An entry that the admin has put on the roster is not the user's to change.
-spec shared(mod_moved_hook_held:held()) -> boolean().
shared(#{request := {_, none}}) -> false;
shared(#{request := {_, Old}, presence := #presence{to = User}}) ->
    mod_moved_hook_roster:is_shared(User, Old).

%% The outcome shows the entries that a send touched, and in any case the sender's, which is the
%% last of those that were asked about.
-spec take(xmlel() | none, mod_moved_hook_held:held()) -> mod_moved_hook_held:result().
take(none, #{touched := Touched} = Held) ->
    case still(Held) of
        true -> {taken, Touched};
        false -> {released, changed}
    end;
take(Send, #{presence := #presence{to = User}, touched := Touched} = Held) ->
    try mod_moved_hook_roster:send(User, Send, Touched, fun() -> still(Held) end) of
        {ok, Sent} ->
            {taken, Sent ++ [lists:last(Touched) || not lists:member(lists:last(Touched), Sent)]};
        {error, Condition, _} when Condition == changed; Condition == 'item-not-found' ->
            {released, changed};
        {error, Condition, Text} ->
            ?WARNING_MSG("Could not send for ~ts what answers a subscription request: ~ts (~ts)",
                         [jid:encode(User), Condition, Text]),
            {released, 'send-failed'}
    catch Class:Reason:Stack ->
            ?ERROR_MSG("Could not send for ~ts what answers a subscription request:~n** ~ts",
                       [jid:encode(User), misc:format_exception(2, Class, Reason, Stack)]),
            {released, 'send-failed'}
    end.

%% Whether what let the request be asked about is so now; the user had time to change it, and the
%% sender to choose the moment. (The lists know a probe and a request alike, but mod_pres_counter
%% would count another request.)
-spec still(mod_moved_hook_held:held()) -> boolean().
still(#{presence := Presence, request := {_, Old}, account := Account}) ->
    mod_moved_hook_account:same(Presence#presence.to, Account)
        andalso allowed(Presence#presence.to, Presence#presence{type = probe}, in)
        andalso (Old == none orelse is_tuple(moved(Old, Presence))).

%%% The outcome (section 3) -------------------------------------------------------------------

-spec ended(mod_moved_hook_held:result(), mod_moved_hook_held:held()) -> any().
ended({taken, Touched}, #{host := Host} = Held) ->
    catch mod_moved_hook:count(Host, taken),
    tell(<<"taken">>, [], Touched, Held);
ended({released, Reason}, #{presence := Presence} = Held) ->
    try mod_moved_hook:release(Presence)
    catch Class:Error:Stack ->
            ?ERROR_MSG("Failed to process a released request:~n** ~ts",
                       [misc:format_exception(2, Class, Error, Stack)])
    end,
    let_go(Reason, Held);
ended(withdrawn, Held) ->
    let_go(withdrawn, Held).

-spec let_go(atom(), mod_moved_hook_held:held()) -> any().
let_go(Reason, #{host := Host, touched := Touched} = Held) ->
    catch mod_moved_hook:count(Host, {released, Reason}),
    tell(<<"released">>, [{<<"reason">>, atom_to_binary(Reason, utf8)}], Touched, Held).

%% After every effect.
-spec tell(binary(), [{binary(), binary()}], [jid:ljid()], mod_moved_hook_held:held()) -> any().
tell(State, Reason, Touched, #{id := Id, instance := Instance, component := Component,
                               presence := #presence{to = User}}) ->
    case mod_moved_hook:stream(Component) of
        none ->
            ok;
        _ ->
            Attrs = [{<<"id">>, Id}, {<<"state">>, State}, {<<"instance">>, Instance} | Reason],
            Items = mod_moved_hook:items(mod_moved_hook_roster:items(User, Touched)),
            ejabberd_router:route(
              #message{id = p1_rand:get_string(), from = User, to = jid:make(Component),
                       sub_els = [mod_moved_hook:element(<<"outcome">>, Attrs, Items)]})
    end.
