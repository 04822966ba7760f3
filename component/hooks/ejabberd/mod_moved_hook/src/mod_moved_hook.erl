%%% The part of xmpp-moved that lives inside ejabberd (24.12).
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% It decides nothing. It asks the component about subscription requests that carry a moved
%%% notification (XEP-0283) and does what the component's verdict says; whatever goes wrong, the
%%% request is processed as if this module were not there. docs/hook-protocol.md has every stanza;
%%% the sections named below are sections of it.
%%%
%%% Per host there is a supervisor. It owns a table (instance, counters, ids of what is held) and
%%% has one child for each held request (mod_moved_hook_held).

-module(mod_moved_hook).

-behaviour(gen_mod).
-behaviour(supervisor).

%% gen_mod and supervisor
-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0]).
-export([init/1]).
%% hooks
-export([in_subscription/2, component_send_packet/1, ejabberd_stopping/0]).
%% for mod_moved_hook_held, which may be on another node of the cluster
-export([table/1, lookup/2, stream/1, count/2, release/1, element/3, items/1, child/3, verdict/4]).

-include("logger.hrl").
-include("ejabberd_router.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).
-define(VERSION, <<"0.1.0">>).

%% What a component may ask as a user (section 5).
-define(QUERIES, [?NS_DISCO_INFO, ?NS_PUBSUB, ?NS_PUBSUB_OWNER, ?NS_ROSTER, ?NS_PRIVATE,
                  ?NS_VCARD, ?NS_BLOCKING]).

%%% Starting and stopping ---------------------------------------------------------------------

-spec start(binary(), gen_mod:opts()) -> {ok, [gen_mod:registration()]} | {error, term()}.
start(Host, _Opts) ->
    Proc = table(Host),
    Spec = #{id => Proc, start => {supervisor, start_link, [{local, Proc}, ?MODULE, Host]},
             type => supervisor, shutdown => infinity},
    case supervisor:start_child(ejabberd_gen_mod_sup, Spec) of
        {ok, _} ->
            %% Above mod_privilege (50), which before 25.03 drops what it does not know.
            ejabberd_hooks:add(component_send_packet, ?MODULE, component_send_packet, 30),
            ejabberd_hooks:add(ejabberd_stopping, ?MODULE, ejabberd_stopping, 10),
            %% Below the check that the user exists (20), above everything that answers for the
            %% user or stores: mod_block_strangers (25), mod_shared_roster (30), mod_roster (50).
            %% Block lists have been asked before this hook runs.
            {ok, [{hook, roster_in_subscription, in_subscription, 22}]};
        {error, _} = Error ->
            Error
    end.

-spec stop(binary()) -> any().
stop(Host) ->
    case gen_mod:is_loaded_elsewhere(Host, ?MODULE) of
        true ->
            ok;
        false ->
            ejabberd_hooks:delete(component_send_packet, ?MODULE, component_send_packet, 30),
            ejabberd_hooks:delete(ejabberd_stopping, ?MODULE, ejabberd_stopping, 10)
    end,
    gen_mod:stop_child(table(Host)).

%% While the users' sessions and the component's stream still live. Each held request is released
%% by its own process; nothing is diverted any more, for there is no supervisor to hold it.
-spec ejabberd_stopping() -> ok.
ejabberd_stopping() ->
    lists:foreach(
      fun(Host) ->
              Streams = [stream(Component) || Component <- option(Host, component)],
              catch ets:insert(table(Host), {leaving, stopping}),
              _ = supervisor:terminate_child(ejabberd_gen_mod_sup, table(Host)),
              %% ejabberd_service:stop/0 comes soon, and kills a stream with all that it has not
              %% written yet: wait until each has handled the outcomes.
              [catch sys:get_status(Stream, timer:seconds(5)) || Stream <- Streams]
      end, [Host || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, ?MODULE)]).

%% Options are read where they are used.
-spec reload(binary(), gen_mod:opts(), gen_mod:opts()) -> ok.
reload(_Host, _NewOpts, _OldOpts) -> ok.

-spec init(binary()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Host) ->
    Table = ets:new(table(Host), [named_table, public, {write_concurrency, true}]),
    %% The instance changes whenever the module starts: what was held before is gone.
    ets:insert(Table, [{instance, p1_rand:get_alphanum_string(20)}, {leaving, unloaded}]),
    {ok, {#{strategy => simple_one_for_one},
          [#{id => held, start => {mod_moved_hook_held, start_link, []},
             restart => temporary, shutdown => timer:minutes(1)}]}}.

%%% Divert (section 1) ------------------------------------------------------------------------

-spec in_subscription(boolean(), presence()) -> boolean() | {stop, false}.
in_subscription(Acc, #presence{meta = #{moved_hook := released}}) ->
    Acc;
in_subscription(Acc, #presence{type = subscribe, to = #jid{lresource = <<>>}} = Presence) ->
    try divert(old_jid(Presence), Presence) of
        true -> {stop, false};
        false -> Acc
    catch Class:Reason:Stack ->
            ?ERROR_MSG("Failed to divert, processed as usual:~n** ~ts",
                       [misc:format_exception(2, Class, Reason, Stack)]),
            Acc
    end;
in_subscription(Acc, _) ->
    Acc.

%% The first <old-jid/> of the notification, if it is a bare JID.
-spec old_jid(presence()) -> jid:ljid() | none.
old_jid(Presence) ->
    try
        Moved = child(<<"moved">>, ?NS_MOVED, Presence),
        [OldJid | _] = [El || #xmlel{name = <<"old-jid">>} = El <- Moved#xmlel.children,
                              lists:member(fxml:get_tag_attr_s(<<"xmlns">>, El), [<<>>, ?NS_MOVED])],
        {_, _, <<>>} = jid:tolower(jid:decode(fxml:get_tag_cdata(OldJid)))
    catch error:_ -> none
    end.

-spec divert(jid:ljid() | none, presence()) -> boolean().
divert(none, _) ->
    false;
divert(Old, #presence{from = From, to = #jid{luser = LUser, lserver = Host} = To} = Presence) ->
    New = jid:tolower(jid:remove_resource(From)),
    Touched = [Old | [New || New /= Old]],
    Items = mod_moved_hook_roster:items(To, Touched),
    %% XEP-0283 4.3: ignored unless the old address has an approved subscription to the user.
    case [S || #roster_item{jid = Jid, subscription = S} <- Items, jid:tolower(Jid) == Old] of
        [Subscription] when Subscription == from; Subscription == both ->
            Held = #{host => Host, user => To, presence => Presence, items => Items,
                     touched => Touched, timeout => option(Host, timeout)},
            hold(Host, Held, component_for(Host, LUser));
        _ ->
            false
    end.

-spec hold(binary(), map(), {binary(), pid()} | none) -> boolean().
hold(Host, Held, {Component, Stream}) ->
    Counts = supervisor:count_children(table(Host)),
    case proplists:get_value(active, Counts) < option(Host, max_held) of
        true ->
            {ok, _} = supervisor:start_child(
                        table(Host), [Held#{component => Component, stream => Stream}]),
            count(Host, diverted),
            true;
        false ->
            hold(Host, Held, none)
    end;
hold(Host, _, none) ->
    count(Host, passed),
    false.

%% Spread users over the connected components; a user stays with one while the set is stable.
-spec component_for(binary(), binary()) -> {binary(), pid()} | none.
component_for(Host, LUser) ->
    case [{C, Pid} || C <- option(Host, component), Pid <- [stream(C)], is_pid(Pid)] of
        [] -> none;
        Up -> lists:nth(erlang:phash2(LUser, length(Up)) + 1, Up)
    end.

%% The live stream of a component: with domain_balancing a route may have none.
-spec stream(binary()) -> pid() | none.
stream(Component) ->
    Type = atom_to_binary(ejabberd_option:router_db_type(), utf8),
    Router = binary_to_existing_atom(<<"ejabberd_router_", Type/binary>>, utf8),
    {ok, Routes} = Router:find_routes(Component),
    hd([Pid || #route{pid = Pid} <- Routes, is_pid(Pid),
               node(Pid) /= node() orelse is_process_alive(Pid)] ++ [none]).

%% To the server's normal processing (XEP-0283 4.4: with <moved/>), block lists included. The mark
%% is no part of the stanza, so it cannot come from the wire.
-spec release(presence()) -> ok.
release(Presence) ->
    ejabberd_sm:route(xmpp:put_meta(Presence, moved_hook, released)).

%%% The component's stream --------------------------------------------------------------------

%% The authority is the stream, which has proved to be the component's, never just an address
%% (RFC 6120 8.1.2.1). Everybody else's orders go on to where nothing knows their namespace.
-spec component_send_packet({stanza() | drop, ejabberd_service:state()}) ->
          {stanza() | drop, ejabberd_service:state()} |
          {stop, {stanza() | drop, ejabberd_service:state()}}.
component_send_packet({#iq{from = #jid{lserver = Component},
                           to = #jid{lserver = Host, lresource = <<>>}} = IQ,
                       #{remote_server := Component} = State} = Acc) ->
    case gen_mod:is_loaded(Host, ?MODULE)
        andalso lists:member(Component, option(Host, component)) of
        true -> {stop, {order(Host, IQ), State}};
        false -> Acc
    end;
component_send_packet(Acc) ->
    Acc.

-spec order(binary(), iq()) -> iq() | drop.
order(Host, #iq{type = Type, id = <<"moved-", Rest/binary>> = Id} = IQ)
  when Type == result; Type == error ->
    [NodeId | _] = binary:split(Rest, <<"-">>),
    Args = [Host, Id, (IQ#iq.from)#jid.lserver, IQ],
    case ejabberd_cluster:get_node_by_id(NodeId) of
        Node when Node == node() -> apply(?MODULE, verdict, Args);
        Node -> rpc:cast(Node, ?MODULE, verdict, Args)
    end,
    drop;
order(Host, #iq{type = Type, sub_els = [Payload]} = IQ) when Type == get; Type == set ->
    case xmpp:get_ns(Payload) of
        ?NS_HOOK ->
            %% Not in the stream's process: a slow database must not hold up verdicts.
            spawn(fun() -> answer(Host, IQ, xmpp:encode(Payload)) end),
            drop;
        _ ->
            IQ
    end;
order(_, IQ) ->
    IQ.

-spec verdict(binary(), binary(), binary(), iq()) -> any().
verdict(Host, Id, Component, IQ) ->
    [mod_moved_hook_held:verdict(Pid, Component, IQ) || {_, Pid} <- lookup(Host, {held, Id})].

%%% Requests of the component -----------------------------------------------------------------

-spec answer(binary(), iq(), xmlel()) -> ok.
answer(Host, #iq{type = Type, to = #jid{luser = LUser}} = IQ, #xmlel{name = Name} = Payload) ->
    Result =
        try
            case {Type, Name, LUser} of
                {get, <<"hello">>, <<>>} -> hello(Host);
                {set, <<"send">>, <<_, _/binary>>} -> send(IQ, Payload);
                {set, <<"query">>, <<_, _/binary>>} -> query(Host, IQ, Payload);
                {set, <<"release">>, <<_, _/binary>>} -> release(IQ, Payload);
                _ ->
                    {error, cancel, 'feature-not-implemented',
                     <<"hook ", ?VERSION/binary, " does not know this request">>}
            end
        catch Class:Reason:Stack ->
                ?ERROR_MSG("Failed to do what the component asked:~n** ~ts",
                           [misc:format_exception(2, Class, Reason, Stack)]),
                {error, wait, 'internal-server-error', <<"see the server's log">>}
        end,
    ejabberd_router:route(
      case Result of
          {error, ErrorType, Condition, Text} ->
              xmpp:make_error(IQ, #stanza_error{type = ErrorType, reason = Condition,
                                                text = xmpp:mk_text(Text, <<"en">>)});
          SubEls ->
              (xmpp:make_iq_result(IQ))#iq{sub_els = SubEls}
      end).

-type answer() :: [xmlel()] | {error, atom(), atom(), binary()}.

-spec send(iq(), xmlel()) -> answer().
send(#iq{to = User}, Payload) ->
    case mod_moved_hook_roster:send(User, Payload) of
        {ok, Touched} ->
            [element(<<"send">>, [], items(mod_moved_hook_roster:items(User, Touched)))];
        {error, 'bad-request', Text} ->
            {error, modify, 'bad-request', Text};
        {error, Condition, Text} ->
            {error, cancel, Condition, Text}
    end.

-spec release(iq(), xmlel()) -> answer().
release(#iq{to = User}, Payload) ->
    Bare = jid:tolower(User),
    try
        Forwarded = child(<<"forwarded">>, ?NS_FORWARD, Payload),
        #presence{type = subscribe, from = #jid{}, to = To} = Presence = inner(presence, Forwarded),
        Bare = jid:tolower(To),
        #xmlel{} = child(<<"moved">>, ?NS_MOVED, Presence),
        Presence
    of
        Presence -> release(Presence), []
    catch error:_ ->
            {error, modify, 'bad-request', <<"release takes a moved notification to this user">>}
    end.

-spec query(binary(), iq(), xmlel()) -> answer().
query(Host, #iq{to = User}, Payload) ->
    try inner(iq, Payload) of
        #iq{type = Type, sub_els = [SubEl]} = Inner when Type == get; Type == set ->
            To = case Inner#iq.to of undefined -> User; Other -> Other end,
            case {lists:member(xmpp:get_ns(SubEl), ?QUERIES),
                  ejabberd_auth:user_exists(User#jid.luser, Host)} of
                {true, true} -> ask(Host, Inner#iq{from = User, to = To});
                {false, _} ->
                    {error, cancel, 'not-allowed', <<"this namespace may not be queried as a user">>};
                {_, false} ->
                    {error, cancel, 'item-not-found', <<"no such user">>}
            end;
        _ ->
            {error, modify, 'bad-request', <<"query takes one iq of type get or set">>}
    catch error:_ ->
            {error, modify, 'bad-request', <<"query takes one iq of type get or set">>}
    end.

%% Send an IQ as the user and wait for the answer. ejabberd_iq makes ids that nobody can guess and
%% finds the way back from other servers.
-spec ask(binary(), iq()) -> answer().
ask(Host, IQ) ->
    Asking = ets:update_counter(table(Host), asking, 1, {asking, 0}),
    try
        case Asking > option(Host, max_held) of
            true -> {error, wait, 'resource-constraint', <<"too many queries at once">>};
            %% A little longer than the request that may be held for it: its outcome comes first.
            false -> ask_now(IQ, option(Host, timeout) + timer:seconds(1))
        end
    after
        ets:update_counter(table(Host), asking, -1)
    end.

-spec ask_now(iq(), timeout()) -> answer().
ask_now(#iq{from = #jid{lserver = Host} = User} = IQ, Timeout) ->
    Reply = case ejabberd_hooks:run_fold(privacy_check_packet, Host, allow, [User, IQ, out]) of
                allow ->
                    ejabberd_router:route_iq(IQ, query, self(), Timeout),
                    receive
                        {iq_reply, Answer, query} -> Answer
                    after
                        Timeout + timer:seconds(5) -> timeout
                    end;
                deny ->
                    xmpp:make_error(IQ, xmpp:err_not_acceptable())
            end,
    case Reply of
        timeout -> {error, wait, 'remote-server-timeout', <<"no answer in time">>};
        _ -> [element(<<"query">>, [], [xmpp:encode(Reply)])]
    end.

-spec hello(binary()) -> answer().
hello(Host) ->
    Held = proplists:get_value(active, supervisor:count_children(table(Host))),
    [{_, Instance}] = lookup(Host, instance),
    Count = fun(Key) -> hd([integer_to_binary(N) || {_, N} <- lookup(Host, Key)] ++ [<<"0">>]) end,
    Released = [element(<<"released">>, [{<<"reason">>, atom_to_binary(Reason, utf8)},
                                         {<<"count">>, integer_to_binary(N)}], [])
                || [Reason, N] <- ets:match(table(Host), {{released, '$1'}, '$2'})],
    Queries = [element(<<"query">>, [], [{xmlcdata, NS}]) || NS <- ?QUERIES],
    [element(<<"hello">>,
             [{<<"version">>, ?VERSION}, {<<"instance">>, Instance},
              {<<"server">>, <<"ejabberd">>}, {<<"server-version">>, ejabberd_option:version()},
              {<<"timeout">>, integer_to_binary(option(Host, timeout) div 1000)},
              {<<"max-held">>, integer_to_binary(option(Host, max_held))},
              {<<"held">>, integer_to_binary(Held)}, {<<"diverted">>, Count(diverted)},
              {<<"taken">>, Count(taken)}, {<<"passed">>, Count(passed)}],
             Released ++ Queries)].

%%% Small things ------------------------------------------------------------------------------

%% The name of a host's supervisor and of its table.
-spec table(binary()) -> atom().
table(Host) -> gen_mod:get_module_proc(Host, ?MODULE).

-spec lookup(binary(), term()) -> [tuple()].
lookup(Host, Key) -> ets:lookup(table(Host), Key).

-spec count(binary(), term()) -> any().
count(Host, Key) -> ets:update_counter(table(Host), Key, 1, {Key, 0}).

-spec option(binary(), atom()) -> any().
option(Host, Name) -> gen_mod:get_module_opt(Host, ?MODULE, Name).

%% An element of the hook's namespace around children that carry their own or inherit this one.
-spec element(binary(), [{binary(), binary()}], [fxml:xmlel() | {xmlcdata, binary()}]) -> xmlel().
element(Name, Attrs, Children) ->
    #xmlel{name = Name, attrs = [{<<"xmlns">>, ?NS_HOOK} | Attrs], children = Children}.

-spec items([roster_item()]) -> [xmlel()].
items(Items) -> [xmpp:encode(Item) || Item <- Items].

%% The first child of this name and namespace; children without a namespace inherit the parent's.
-spec child(binary(), binary(), xmlel() | stanza()) -> xmlel() | none.
child(Name, NS, #xmlel{children = Children} = Parent) ->
    Inherited = fxml:get_tag_attr_s(<<"xmlns">>, Parent),
    hd([El || #xmlel{name = N} = El <- Children, N == Name,
              case fxml:get_tag_attr_s(<<"xmlns">>, El) of
                  <<>> -> Inherited == NS;
                  Own -> Own == NS
              end] ++ [none]);
child(Name, NS, Stanza) ->
    child(Name, NS, #xmlel{children = [xmpp:encode(El) || El <- xmpp:get_els(Stanza)]}).

%% A stanza inside a payload; fails unless it is there and well-formed.
-spec inner(iq | presence, xmlel()) -> stanza().
inner(presence, Parent) ->
    xmpp:decode(child(<<"presence">>, ?NS_CLIENT, Parent), ?NS_CLIENT, [ignore_els]);
inner(iq, Parent) ->
    %% The id is ours to choose, but the decoder insists on one.
    El = fxml:replace_tag_attr(<<"id">>, <<"0">>, child(<<"iq">>, ?NS_CLIENT, Parent)),
    xmpp:decode(El, ?NS_CLIENT, [ignore_els]).

%%% Options and documentation -----------------------------------------------------------------

-spec depends(binary(), gen_mod:opts()) -> [{module(), hard | soft}].
depends(_Host, _Opts) -> [{mod_roster, hard}].

-spec mod_opt_type(atom()) -> econf:validator().
mod_opt_type(component) -> econf:list_or_single(econf:domain(), [unique]);
mod_opt_type(timeout) -> econf:timeout(second);
mod_opt_type(max_held) -> econf:pos_int().

-spec mod_options(binary()) -> [atom() | {atom(), term()}].
mod_options(_Host) ->
    [component, {timeout, timer:seconds(60)}, {max_held, 5000}].

mod_doc() ->
    #{desc =>
          <<"Hands subscription requests that carry a moved notification (XEP-0283) to an "
            "external component, xmpp-moved, which follows contacts to their new addresses.">>,
      opts =>
          [{component,
            #{value => <<"Domain | [Domain, ...]">>,
              desc => <<"Address of the component that decides, or a list of such addresses: "
                        "each user is then served by one of those connected. Required.">>}},
           {timeout,
            #{value => <<"timeout()">>,
              desc => <<"After this time a request without a verdict is processed normally. "
                        "Default: 60 seconds.">>}},
           {max_held,
            #{value => <<"pos_integer()">>,
              desc => <<"Requests held at once; one more is not diverted. Bounds memory. "
                        "Default: 5000.">>}}],
      example =>
          ["modules:",
           "  mod_moved_hook:",
           "    component: moved.montague.example"]}.
