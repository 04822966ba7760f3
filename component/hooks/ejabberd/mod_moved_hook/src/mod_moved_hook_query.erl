%%% Asks somebody something as a user.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, section 5.

-module(mod_moved_hook_query).

-export([query/2, namespaces/0, parts/0]).

-include_lib("xmpp/include/xmpp.hrl").
-include("logger.hrl").

%% Of a question whose answers come from somebody else.
-define(TRIES, 3).

%% What a component may ask.
-spec namespaces() -> [binary()].
namespaces() ->
    [?NS_DISCO_INFO, ?NS_DISCO_ITEMS, ?NS_PUBSUB, ?NS_PUBSUB_OWNER, ?NS_ROSTER, ?NS_PRIVATE,
     ?NS_VCARD, ?NS_BLOCKING, ?NS_HTTP_UPLOAD_0].

%% What the option "copy" can name; "upload" is for accounts as files in this server's own storage
%% (XEP-0363). A move by itself needs none of it: contacts, the moved statement and our own passing
%% data are always allowed.
-spec parts() -> [atom()].
parts() -> [blocking, pep, private, upload, vcard].

-spec query(iq(), xmlel()) -> mod_moved_hook:answer().
query(#iq{to = #jid{lserver = Host} = User}, Payload) ->
    try mod_moved_hook:inner(iq, Payload) of
        #iq{type = Type, sub_els = [SubEl]} = Inner when Type == get; Type == set ->
            To = case Inner#iq.to of undefined -> User; Other -> Other end,
            Own = jid:tolower(To) == jid:tolower(User),
            case {lists:member(xmpp:get_ns(SubEl), namespaces()),
                  may(Type, SubEl, Own, mod_moved_hook:option(Host, copy)),
                  ejabberd_auth:user_exists(User#jid.luser, Host)
                  orelse checks(User, Type, SubEl, To)} of
                {true, true, true} ->
                    case Own andalso Type == set andalso sets_shared(User, SubEl) of
                        true -> {error, cancel, 'not-allowed',
                                 <<"the entry comes from a shared group">>};
                        false -> ask(Host, Inner#iq{from = User, to = To})
                    end;
                {false, _, _} ->
                    {error, cancel, 'not-allowed', <<"this namespace may not be queried as a user">>};
                {_, false, _} ->
                    {error, cancel, 'not-allowed', <<"the option copy does not let this be carried">>};
                {_, _, false} ->
                    {error, cancel, 'item-not-found', <<"no such user">>}
            end;
        _ ->
            {error, modify, 'bad-request', <<"query takes one iq of type get or set">>}
    catch error:_ ->
            {error, modify, 'bad-request', <<"query takes one iq of type get or set">>}
    end.

%% A roster set of an entry that is the admin's: mod_shared_roster would make the user's own of it.
-spec sets_shared(jid(), xmlel()) -> boolean().
sets_shared(User, #xmlel{children = Children} = Payload) ->
    xmpp:get_ns(Payload) == ?NS_ROSTER andalso
        lists:any(fun(#xmlel{} = Item) ->
                          Jid = jid:decode(fxml:get_tag_attr_s(<<"jid">>, Item)),
                          mod_moved_hook_roster:is_shared(User, jid:tolower(Jid));
                     (_) -> false
                  end, Children).

%% `xmpp-moved check` asks whether requests of users get out, as a user whom nobody is.
-spec checks(jid(), get | set, xmlel(), jid()) -> boolean().
checks(#jid{luser = <<"xmpp-moved-check-nobody">>}, get, SubEl,
       #jid{luser = <<>>, lresource = <<>>, lserver = To}) ->
    xmpp:get_ns(SubEl) == ?NS_DISCO_INFO andalso not ejabberd_router:is_my_route(To);
checks(_, _, _, _) ->
    false.

%% Whether the admin lets a payload be sent as the user, to the user's own account or somebody else.
-spec may(get | set, xmlel(), boolean(), [atom()]) -> boolean().
may(Type, #xmlel{children = Children} = Payload, Own, Copy) ->
    Pep = lists:member(pep, Copy),
    Upload = lists:member(upload, Copy),
    case xmpp:get_ns(Payload) of
        ?NS_VCARD -> Type == get orelse lists:member(vcard, Copy);
        ?NS_BLOCKING -> Type == get orelse lists:member(blocking, Copy);
        ?NS_PRIVATE -> lists:member(private, Copy);
        ?NS_HTTP_UPLOAD_0 -> Type == get andalso not Own andalso Upload;
        ?NS_DISCO_ITEMS -> Pep orelse (not Own andalso Upload);
        NS when Own, not Pep, NS == ?NS_PUBSUB; Own, not Pep, NS == ?NS_PUBSUB_OWNER ->
            case [fxml:get_tag_attr_s(<<"node">>, Action) || #xmlel{} = Action <- Children] of
                [First | _] = Nodes when First /= <<>> ->
                    lists:all(fun(Node) -> Node == <<>> orelse moves(Type, Node) end, Nodes);
                _ ->
                    false
            end;
        _ -> true
    end.

%% Nodes that a move needs whatever is carried; the nickname goes into requests, and is only read.
-spec moves(get | set, binary()) -> boolean().
moves(_, <<"urn:xmpp:moved:1">>) -> true;
moves(_, <<"urn:xmpp-moved:", _/binary>>) -> true;
moves(get, <<"http://jabber.org/protocol/nick">>) -> true;
moves(_, _) -> false.

%% Send an IQ as the user and wait for the answer. ejabberd_iq makes ids that nobody can guess and
%% finds the way back from other servers.
-spec ask(binary(), iq()) -> mod_moved_hook:answer().
ask(Host, IQ) ->
    Asking = ets:update_counter(mod_moved_hook:table(Host), asking, 1, {asking, 0}),
    try
        case Asking > mod_moved_hook:option(Host, max_held) of
            true -> {error, wait, 'resource-constraint', <<"too many queries at once">>};
            false -> ask_allowed(Host, IQ)
        end
    after
        ets:update_counter(mod_moved_hook:table(Host), asking, -1)
    end.

-spec ask_allowed(binary(), iq()) -> mod_moved_hook:answer().
ask_allowed(Host, #iq{from = User} = IQ) ->
    %% A little longer than the request that may be held for it: its outcome comes first.
    Until = now_ms() + mod_moved_hook:option(Host, timeout) + timer:seconds(1),
    Reply = case mod_moved_hook_divert:allowed(User, IQ, out) of
                true -> ask_until(IQ, Until, ?TRIES);
                false -> xmpp:make_error(IQ, xmpp:err_not_acceptable())
            end,
    case Reply of
        timeout -> {error, wait, 'remote-server-timeout', <<"no answer in time">>};
        _ -> [mod_moved_hook:element(<<"query">>, [], [xmpp:encode(Reply)])]
    end.

%% RFC 6120 8.1.2.1, 8.2.3: an answer comes from whom was asked. ejabberd_iq takes whatever has the
%% right id, from anybody to anybody, and forgets the id with it; so we ask again.
-spec ask_until(iq(), integer(), non_neg_integer()) -> iq() | timeout.
ask_until(_, _, 0) ->
    timeout;
ask_until(IQ, Until, Tries) ->
    Timeout = max(0, Until - now_ms()),
    ejabberd_router:route_iq(IQ, query, self(), Timeout),
    receive
        {iq_reply, #iq{} = Answer, query} ->
            case same(Answer#iq.from, IQ#iq.to) andalso same(Answer#iq.to, IQ#iq.from) of
                true ->
                    Answer;
                false ->
                    ?WARNING_MSG("Answer from ~ts to ~ts, where ~ts was asked by ~ts: ignored",
                                 [jid:encode(J) || J <- [Answer#iq.from, Answer#iq.to,
                                                         IQ#iq.to, IQ#iq.from]]),
                    ask_until(IQ, Until, Tries - 1)
            end;
        {iq_reply, timeout, query} ->
            timeout
    after
        Timeout + timer:seconds(5) -> timeout
    end.

-spec same(jid(), jid()) -> boolean().
same(One, Other) ->
    jid:tolower(One) == jid:tolower(Other).

-spec now_ms() -> integer().
now_ms() ->
    erlang:monotonic_time(millisecond).
