%%% Which subscription requests the component is asked about, and what becomes of them.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, sections 1 to 3: requests with a moved notification (XEP-0283), and all
%%% requests to users that the component watches. mod_moved_hook_held holds them.

-module(mod_moved_hook_divert).

%% hook
-export([in_subscription/2]).
%% for mod_moved_hook_held
-export([answered/2, ended/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).

-type entries() :: {[jid:ljid()], [roster_item()]}.

%%% Asking (section 1) ------------------------------------------------------------------------

-spec in_subscription(boolean(), presence()) -> boolean() | {stop, false}.
in_subscription(Acc, #presence{meta = #{moved_hook := released}}) ->
    Acc;
in_subscription(Acc, #presence{type = subscribe, to = #jid{lresource = <<>>}} = Presence) ->
    try divert(Presence) of
        true -> {stop, false};
        false -> Acc
    catch Class:Reason:Stack ->
            ?ERROR_MSG("Failed to divert, processed as usual:~n** ~ts",
                       [misc:format_exception(2, Class, Reason, Stack)]),
            Acc
    end;
in_subscription(Acc, _) ->
    Acc.

-spec divert(presence()) -> boolean().
divert(#presence{to = #jid{luser = LUser, lserver = Host} = To} = Presence) ->
    case moved(old_jid(Presence), Presence) of
        none ->
            case mod_moved_hook_watch:watcher(To, requests) of
                none -> false;
                Watcher -> hold(wanted(Presence), [{<<"watched">>, <<"true">>}], Watcher, Presence)
            end;
        Entries ->
            hold(Entries, [], mod_moved_hook:component_for(Host, LUser), Presence)
    end.

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

%% XEP-0283 4.3: ignored unless the old address has an approved subscription to the user.
-spec moved(jid:ljid() | none, presence()) -> entries() | none.
moved(none, _) ->
    none;
moved(Old, #presence{from = From, to = To}) ->
    New = bare(From),
    Touched = [Old | [New || New /= Old]],
    Items = mod_moved_hook_roster:items(To, Touched),
    case granted(Old, Items) of
        true -> {Touched, Items};
        false -> none
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

-spec hold(entries() | none, [{binary(), binary()}], {binary(), pid()} | none, presence()) ->
          boolean().
hold(none, _, _, _) ->
    false;
hold({Touched, Items}, Attrs, {Component, Stream},
     #presence{to = #jid{lserver = Host} = To} = Presence) ->
    [{_, Instance}] = mod_moved_hook:lookup(Host, instance),
    Forwarded = #xmlel{name = <<"forwarded">>, attrs = [{<<"xmlns">>, ?NS_FORWARD}],
                       children = [xmpp:encode(Presence)]},
    Divert = mod_moved_hook:element(<<"divert">>, [{<<"instance">>, Instance} | Attrs],
                                    [Forwarded | mod_moved_hook:items(Items)]),
    Held = #{kind => ?MODULE, host => Host, component => Component, stream => Stream,
             ask => #iq{type = set, from = To, sub_els = [Divert]},
             presence => Presence, touched => Touched, instance => Instance},
    case mod_moved_hook:hold(Held) of
        true ->
            mod_moved_hook:count(Host, diverted),
            true;
        false ->
            hold({Touched, Items}, Attrs, none, Presence)
    end;
hold(_, _, none, #presence{to = #jid{lserver = Host}}) ->
    mod_moved_hook:count(Host, passed),
    false.

%%% The verdict (section 2) -------------------------------------------------------------------

-spec answered(iq(), mod_moved_hook_held:held()) -> mod_moved_hook_held:result().
answered(IQ, #{presence := #presence{to = User}, touched := Touched}) ->
    case mod_moved_hook:child(<<"take">>, ?NS_HOOK, IQ) of
        none -> {released, verdict};
        Take -> take(User, mod_moved_hook:child(<<"send">>, ?NS_HOOK, Take), Touched)
    end.

%% The outcome shows the entries that a send touched, and in any case the sender's, which is the
%% last of those that were asked about.
-spec take(jid(), xmlel() | none, [jid:ljid()]) -> mod_moved_hook_held:result().
take(_, none, Touched) ->
    {taken, Touched};
take(User, Send, Touched) ->
    try mod_moved_hook_roster:send(User, Send) of
        {ok, Sent} ->
            {taken, Sent ++ [lists:last(Touched) || not lists:member(lists:last(Touched), Sent)]};
        {error, Condition, Text} ->
            ?WARNING_MSG("Could not send for ~ts what answers a subscription request: ~ts (~ts)",
                         [jid:encode(User), Condition, Text]),
            {released, 'send-failed'}
    catch Class:Reason:Stack ->
            ?ERROR_MSG("Could not send for ~ts what answers a subscription request:~n** ~ts",
                       [jid:encode(User), misc:format_exception(2, Class, Reason, Stack)]),
            {released, 'send-failed'}
    end.

%%% The outcome (section 3) -------------------------------------------------------------------

-spec ended(mod_moved_hook_held:result(), mod_moved_hook_held:held()) -> any().
ended({taken, Touched}, #{host := Host} = Held) ->
    catch mod_moved_hook:count(Host, taken),
    tell(<<"taken">>, [], Touched, Held);
ended({released, Reason}, #{host := Host, presence := Presence, touched := Touched} = Held) ->
    try mod_moved_hook:release(Presence)
    catch Class:Error:Stack ->
            ?ERROR_MSG("Failed to process a released request:~n** ~ts",
                       [misc:format_exception(2, Class, Error, Stack)])
    end,
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
