%%% The part of xmpp-moved that lives inside ejabberd (24.12).
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% It decides nothing. It asks the component about subscription requests that carry a moved
%%% notification (XEP-0283) and does what the component's verdict says; whatever goes wrong, the
%%% request is processed as if this module were not there. docs/hook-protocol.md has every stanza;
%%% the sections named below are sections of it.
%%%
%%% Per host there is a supervisor. It owns a table (instance, counters, ids of what is held) and
%%% has one child for each subscription request that is held (mod_moved_hook_held); another one has
%%% those of the requests for a statement, so that neither kind keeps the other out.
%%% mod_moved_hook_divert knows which subscription requests are; mod_moved_hook_tombstone answers for
%%% users who are gone; mod_moved_hook_watch looks after the users whom the component watches;
%%% mod_moved_hook_account knows which account it is that has a name; mod_moved_hook_keep looks after
%%% contacts of accounts that are deleted; mod_moved_hook_query and mod_moved_hook_roster do things as
%%% a user.

-module(mod_moved_hook).

-behaviour(gen_mod).
-behaviour(supervisor).

%% gen_mod and supervisor
-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0]).
-export([init/1]).
%% hooks
-export([sm_receive_packet/1, component_send_packet/1, ejabberd_stopping/0]).
%% for another node of the cluster
-export([verdict/4, instance/1]).
%% for the other modules
-export([hold/1, part/1, owner/1, release/1, reply/2, component_for/2, stream/1, streams/1, table/1, lookup/2,
         count/2, option/2, element/3, items/1, child/3, inner/2]).

-export_type([answer/0]).

-include("logger.hrl").
-include("ejabberd_router.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).
-define(VERSION, <<"0.6.0">>).
-define(FEATURES,
        [<<"watch">>, <<"tombstone">>, <<"answer">>, <<"entries">>, <<"get-entries">>,
         <<"tombstones">>, <<"account">>, <<"keep">>]).

%%% Starting and stopping ---------------------------------------------------------------------

-spec start(binary(), gen_mod:opts()) -> {ok, [gen_mod:registration()]} | {error, term()}.
start(Host, _Opts) ->
    case start_children(Host) of
        ok ->
            %% Above mod_privilege (50), which before 25.03 drops what it does not know.
            ejabberd_hooks:add(component_send_packet, ?MODULE, component_send_packet, 30),
            ejabberd_hooks:add(ejabberd_stopping, ?MODULE, ejabberd_stopping, 10),
            %% Below the check that the user exists (20), above everything that answers for the
            %% user or stores: mod_block_strangers (25), mod_shared_roster (30), mod_roster (50).
            %% Block lists have been asked before this hook runs.
            {ok, [{hook, roster_in_subscription, mod_moved_hook_divert, in_subscription, 22},
                  {hook, roster_in_subscription, mod_moved_hook_watch, in_subscription, 90},
                  {hook, remove_user, mod_moved_hook_keep, remove_user, 10},
                  {hook, register_user, mod_moved_hook_keep, register_user, 10},
                  {hook, remove_user, mod_moved_hook_watch, remove_user, 50},
                  {hook, remove_user, mod_moved_hook_divert, remove_user, 50},
                  {hook, remove_user, mod_moved_hook_account, remove_user, 60},
                  %% After mod_privacy (50), which then knows the session's list.
                  {hook, user_send_packet, mod_moved_hook_divert, user_send_packet, 55},
                  {hook, c2s_session_resumed, mod_moved_hook_divert, session_resumed, 50},
                  %% What others drop is nobody's business.
                  {hook, sm_receive_packet, sm_receive_packet, 90}]};
        {error, _} = Error ->
            Error
    end.

-spec start_children(binary()) -> ok | {error, term()}.
start_children(Host) ->
    Holder = table(Host),
    Other = holder(Host, mod_moved_hook_tombstone),
    Watcher = mod_moved_hook_watch:proc(Host),
    Names = mod_moved_hook_tombstone:proc(Host),
    Specs = [#{id => Holder, start => {supervisor, start_link, [{local, Holder}, ?MODULE, Host]},
               type => supervisor, shutdown => infinity},
             #{id => Other, start => {supervisor, start_link, [{local, Other}, ?MODULE, holder]},
               type => supervisor, shutdown => infinity},
             #{id => Names, start => {mod_moved_hook_tombstone, start_link, [Host]}},
             #{id => Watcher, start => {mod_moved_hook_watch, start_link, [Host]}}],
    Started = [supervisor:start_child(ejabberd_gen_mod_sup, Spec) || Spec <- Specs],
    case [Error || {error, _} = Error <- Started] of
        [] ->
            ok;
        [Error | _] ->
            stop_children(Host),
            Error
    end.

-spec stop_children(binary()) -> any().
stop_children(Host) ->
    [gen_mod:stop_child(Proc) || Proc <- [mod_moved_hook_watch:proc(Host),
                                          mod_moved_hook_tombstone:proc(Host),
                                          holder(Host, mod_moved_hook_tombstone), table(Host)]].

-spec stop(binary()) -> any().
stop(Host) ->
    case gen_mod:is_loaded_elsewhere(Host, ?MODULE) of
        true ->
            ok;
        false ->
            ejabberd_hooks:delete(component_send_packet, ?MODULE, component_send_packet, 30),
            ejabberd_hooks:delete(ejabberd_stopping, ?MODULE, ejabberd_stopping, 10)
    end,
    stop_children(Host).

%% While the users' sessions and the component's stream still live. Each held request is released
%% by its own process; nothing is diverted any more, for there is no supervisor to hold it.
-spec ejabberd_stopping() -> ok.
ejabberd_stopping() ->
    lists:foreach(
      fun(Host) ->
              Streams = [stream(Component) || Component <- option(Host, component)],
              catch ets:insert(table(Host), {leaving, stopping}),
              [_ = supervisor:terminate_child(ejabberd_gen_mod_sup, Holder)
               || Holder <- [holder(Host, mod_moved_hook_tombstone), table(Host)]],
              %% ejabberd_service:stop/0 comes soon, and kills a stream with all that it has not
              %% written yet: wait until each has handled the outcomes.
              [catch sys:get_status(Stream, timer:seconds(5)) || Stream <- Streams]
      end, [Host || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, ?MODULE)]).

%% Options are read where they are used.
-spec reload(binary(), gen_mod:opts(), gen_mod:opts()) -> ok.
reload(_Host, _NewOpts, _OldOpts) -> ok.

-spec init(binary() | holder) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(holder) ->
    {ok, {#{strategy => simple_one_for_one},
          [#{id => held, start => {mod_moved_hook_held, start_link, []},
             restart => temporary, shutdown => timer:minutes(1)}]}};
init(Host) ->
    mod_moved_hook_held:create_table(),
    mod_moved_hook_keep:create_table(),
    mod_moved_hook_account:create_table(),
    Table = ets:new(table(Host), [named_table, public, {write_concurrency, true}]),
    %% The instance changes whenever the module starts: what was held before is gone.
    ets:insert(Table, [{instance, p1_rand:get_alphanum_string(20)}, {leaving, unloaded}]),
    init(holder).

%%% Holding -----------------------------------------------------------------------------------

%% What a user of this host is sent, or somebody who is none. Runs for each such packet: what may be
%% ours costs one look-up in memory. (A message from a bare address was written by no client: two
%% users who both leave must not answer each other's answers.)
-spec sm_receive_packet(stanza() | drop) -> stanza() | drop | {stop, drop}.
sm_receive_packet(#message{type = Type, body = [_ | _],
                           from = #jid{lresource = <<_, _/binary>>}} = Message)
  when Type == chat; Type == normal ->
    mod_moved_hook_watch:message(Message),
    Message;
sm_receive_packet(#presence{type = error, to = #jid{lresource = <<>>}} = Presence) ->
    mod_moved_hook_watch:heard(Presence),
    Presence;
sm_receive_packet(#iq{type = get, to = #jid{lresource = <<>>}} = IQ) ->
    case mod_moved_hook_tombstone:hold(IQ) of
        true -> {stop, drop};
        false -> IQ
    end;
sm_receive_packet(Acc) ->
    Acc.

%% True if there was room for one more of its kind, and for each of its users, who may have a fifth
%% of it: so whoever takes much leaves room for others. joined: the same is held already.
-spec hold(mod_moved_hook_held:held()) -> boolean() | joined.
hold(#{host := Host, kind := Kind} = Held) ->
    Holder = holder(Host, Kind),
    Counts = supervisor:count_children(Holder),
    Max = option(Host, max_held),
    case proplists:get_value(active, Counts) < Max
        andalso mod_moved_hook_held:most(Held) < part(Max) of
        true ->
            {ok, Child} = supervisor:start_child(Holder, [Held]),
            is_pid(Child) orelse joined;
        false ->
            false
    end.

-spec part(pos_integer()) -> pos_integer().
part(Whole) -> (Whole + 4) div 5.

%% Whoever has registered a domain has any number of names beneath it: the part of a domain that its
%% owner has registered, as far as the name shows it (three labels where it looks like one below
%% co.uk).
-spec owner(binary()) -> binary().
owner(Domain) ->
    Labels = lists:reverse(binary:split(Domain, <<".">>, [global])),
    Kept = case Labels of
               [Last, Second, _ | _] when byte_size(Last) == 2, byte_size(Second) =< 3 -> 3;
               _ -> 2
           end,
    iolist_to_binary(lists:join(<<".">>, lists:reverse(lists:sublist(Labels, Kept)))).

%% The supervisor of what is held of a kind.
-spec holder(binary(), module()) -> atom().
holder(Host, mod_moved_hook_tombstone) ->
    gen_mod:get_module_proc(Host, mod_moved_hook_requested);
holder(Host, _) ->
    table(Host).

%% Spread users over the connected components; a user stays with one while the set is stable.
-spec component_for(binary(), binary()) -> {binary(), pid()} | none.
component_for(Host, LUser) ->
    case [{C, Pid} || C <- option(Host, component), Pid <- [stream(C)], is_pid(Pid)] of
        [] -> none;
        Up -> lists:nth(erlang:phash2(LUser, length(Up)) + 1, Up)
    end.

%% The live stream of a component: with domain_balancing a route may have none.
-spec stream(binary()) -> pid() | none.
stream(Component) -> hd(streams(Component) ++ [none]).

-spec streams(binary()) -> [pid()].
streams(Component) ->
    Type = atom_to_binary(ejabberd_option:router_db_type(), utf8),
    Router = binary_to_existing_atom(<<"ejabberd_router_", Type/binary>>, utf8),
    {ok, Routes} = Router:find_routes(Component),
    [Pid || #route{pid = Pid} <- Routes, is_pid(Pid),
            node(Pid) /= node() orelse is_process_alive(Pid)].

%% To the server's normal processing (XEP-0283 4.4: with <moved/>), block lists included. The mark
%% is no part of the stanza, so it cannot come from the wire.
-spec release(presence() | iq()) -> ok.
release(Stanza) ->
    ejabberd_sm:route(xmpp:put_meta(Stanza, moved_hook, released)).

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
            Stream = self(),
            case {Type, xmpp:encode(Payload), (IQ#iq.to)#jid.luser} of
                {get, #xmlel{name = <<"hello">>} = Hello, <<>>} ->
                    spawn(fun() ->
                                  replace((IQ#iq.from)#jid.lserver, Stream),
                                  answer(Host, IQ, Hello)
                          end);
                {set, #xmlel{name = <<"watch">>} = Watch, <<_, _/binary>>} ->
                    mod_moved_hook_watch:set(Host, self(), IQ, Watch);
                {set, #xmlel{name = <<"tombstones">>} = Tombstones, <<>>} ->
                    mod_moved_hook_tombstone:set(Host, IQ, Tombstones);
                {_, Request, _} ->
                    spawn(fun() -> answer(Host, IQ, Request) end)
            end,
            drop;
        _ ->
            IQ
    end;
order(_, IQ) ->
    IQ.

%% One component has one stream, in the whole cluster: the one that greeted last. ejabberd takes any
%% number, and each node then sends what is for the component to one of its own; an earlier one is
%% dead to the component (a connection that a firewall has forgotten, say), though the kernel may
%% not know that for minutes. All of them have proved to be the component's.
-spec replace(binary(), pid()) -> any().
replace(Component, Stream) ->
    case streams(Component) of
        [Stream] ->
            ok;
        _ ->
            %% Two that greet at the same moment would end each other.
            global:trans({{?MODULE, Component}, self()},
                         fun() -> end_others(Component, Stream) end,
                         ejabberd_cluster:get_nodes())
    end.

-spec end_others(binary(), pid()) -> any().
end_others(Component, Stream) ->
    Streams = streams(Component),
    [end_stream(Component, Other) || lists:member(Stream, Streams), Other <- Streams,
                                     Other /= Stream].

-spec end_stream(binary(), pid()) -> any().
end_stream(Component, Stream) ->
    Monitor = monitor(process, Stream),
    ejabberd_service:send(Stream, xmpp:serr_conflict()),
    ejabberd_service:stop_async(Stream),
    How = receive {'DOWN', Monitor, process, Stream, _} -> ended
          after timer:seconds(1) ->
                  exit(Stream, kill),
                  receive {'DOWN', Monitor, process, Stream, _} -> killed
                  after timer:seconds(1) -> left
                  end
          end,
    %% Of one that was killed it would go a moment later, and until then get what is for this one.
    ejabberd_router:unregister_route(Component, Stream),
    ?WARNING_MSG("~ts has connected anew; its earlier stream at ~ts is ~ts",
                 [Component, node(Stream), How]).

-spec verdict(binary(), binary(), binary(), iq()) -> any().
verdict(Host, Id, Component, IQ) ->
    [mod_moved_hook_held:verdict(Pid, Component, IQ) || {_, Pid} <- lookup(Host, {held, Id})].

%%% Requests of the component -----------------------------------------------------------------

-spec answer(binary(), iq(), xmlel()) -> ok.
answer(Host, #iq{type = Type, to = #jid{luser = LUser}} = IQ, #xmlel{name = Name} = Payload) ->
    Result =
        try
            Meant = mod_moved_hook_account:meant(IQ#iq.to, Payload),
            case {Type, Name, LUser} of
                {get, <<"hello">>, <<>>} -> hello(Host);
                _ when not Meant ->
                    {error, cancel, 'item-not-found', <<"the account that was meant is gone">>};
                {get, <<"account">>, <<_, _/binary>>} -> account(IQ);
                {set, <<"send">>, <<_, _/binary>>} -> send(IQ, Payload);
                {set, <<"query">>, <<_, _/binary>>} -> mod_moved_hook_query:query(IQ, Payload);
                {set, <<"release">>, <<_, _/binary>>} -> release(IQ, Payload);
                {set, <<"entries">>, <<_, _/binary>>} ->
                    done(mod_moved_hook_roster:entries(IQ#iq.to, Payload));
                {get, <<"entries">>, <<_, _/binary>>} -> chosen(IQ, Payload);
                {set, <<"keep">>, <<_, _/binary>>} ->
                    done(mod_moved_hook_keep:keep(IQ#iq.to, Payload));
                _ ->
                    {error, cancel, 'feature-not-implemented',
                     <<"hook ", ?VERSION/binary, " does not know this request">>}
            end
        catch Class:Reason:Stack ->
                ?ERROR_MSG("Failed to do what the component asked:~n** ~ts",
                           [misc:format_exception(2, Class, Reason, Stack)]),
                {error, wait, 'internal-server-error', <<"see the server's log">>}
        end,
    reply(IQ, Result).

-type answer() :: [xmlel()] | {error, atom(), atom(), binary()}.

-spec reply(iq(), answer()) -> ok.
reply(IQ, Result) ->
    ejabberd_router:route(
      case Result of
          {error, ErrorType, Condition, Text} ->
              xmpp:make_error(IQ, #stanza_error{type = ErrorType, reason = Condition,
                                                text = xmpp:mk_text(Text, <<"en">>)});
          SubEls ->
              (xmpp:make_iq_result(IQ))#iq{sub_els = SubEls}
      end).

-spec account(iq()) -> answer().
account(#iq{to = #jid{luser = LUser, lserver = Host}}) ->
    case mod_moved_hook_account:token(LUser, Host) of
        none -> {error, cancel, 'item-not-found', <<"no such user">>};
        Token -> [element(<<"account">>, [{<<"token">>, Token}], [])]
    end.

-spec send(iq(), xmlel()) -> answer().
send(#iq{to = User}, Payload) ->
    case mod_moved_hook_roster:send(User, Payload) of
        {ok, Touched} ->
            [element(<<"send">>, [], items(mod_moved_hook_roster:items(User, Touched)))];
        Error ->
            done(Error)
    end.

-spec chosen(iq(), xmlel()) -> answer().
chosen(#iq{to = User}, Payload) ->
    case mod_moved_hook_roster:chosen(User, Payload) of
        {ok, Items} -> [element(<<"entries">>, [], items(Items))];
        Error -> done(Error)
    end.

-spec done(ok | {error, atom(), binary()}) -> answer().
done(ok) -> [];
done({error, 'bad-request', Text}) -> {error, modify, 'bad-request', Text};
done({error, Condition, Text}) -> {error, cancel, Condition, Text}.

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
            {error, modify, 'bad-request',
             <<"release takes a moved notification to this user">>}
    end.

-spec hello(binary()) -> answer().
hello(Host) ->
    Held = proplists:get_value(active, supervisor:count_children(table(Host))),
    [Instance | _] = Instances = instances(Host),
    Count = fun(Key) -> hd([integer_to_binary(N) || {_, N} <- lookup(Host, Key)] ++ [<<"0">>]) end,
    Released = [element(<<"released">>, [{<<"reason">>, atom_to_binary(Reason, utf8)},
                                         {<<"count">>, integer_to_binary(N)}], [])
                || [Reason, N] <- ets:match(table(Host), {{released, '$1'}, '$2'})],
    Features = [element(<<"feature">>, [], [{xmlcdata, Feature}]) || Feature <- ?FEATURES],
    Queries = [element(<<"query">>, [], [{xmlcdata, NS}])
               || NS <- mod_moved_hook_query:namespaces()],
    Copied = [element(<<"copy">>, [], [{xmlcdata, atom_to_binary(Part, utf8)}])
              || Part <- lists:sort(option(Host, copy))],
    [element(<<"hello">>,
             [{<<"version">>, ?VERSION}, {<<"instance">>, Instance},
              {<<"server">>, <<"ejabberd">>}, {<<"server-version">>, ejabberd_option:version()},
              {<<"timeout">>, integer_to_binary(option(Host, timeout) div 1000)},
              {<<"max-held">>, integer_to_binary(option(Host, max_held))},
              {<<"held">>, integer_to_binary(Held)}, {<<"diverted">>, Count(diverted)},
              {<<"taken">>, Count(taken)}, {<<"passed">>, Count(passed)},
              {<<"joined">>, Count(joined)}, {<<"limited">>, Count(limited)},
              {<<"watched">>, integer_to_binary(mod_moved_hook_watch:watched(Host))}],
             [element(<<"instance">>, [], [{xmlcdata, One}]) || One <- Instances]
             ++ Released ++ Features ++ Queries ++ Copied ++ counter(Host))].

%% Those of all nodes, this one's first. What an instance held that is not among them is nobody's,
%% unless the component gives it back. A node that does not answer counts as gone: what is given
%% back although it is still held there is one request all the same.
-spec instances(binary()) -> [binary()].
instances(Host) ->
    Others = erpc:multicall(ejabberd_cluster:get_nodes() -- [node()], ?MODULE, instance, [Host],
                            timer:seconds(2)),
    [instance(Host) | [Instance || {ok, Instance} <- Others]].

-spec instance(binary()) -> binary().
instance(Host) ->
    [{_, Instance}] = lookup(Host, instance),
    Instance.

%% mod_pres_counter drops what comes faster, of one stream or session, without a word.
-spec counter(binary()) -> [xmlel()].
counter(Host) ->
    case gen_mod:is_loaded(Host, mod_pres_counter) of
        true ->
            Count = gen_mod:get_module_opt(Host, mod_pres_counter, count),
            Interval = gen_mod:get_module_opt(Host, mod_pres_counter, interval),
            [element(<<"counter">>, [{<<"count">>, integer_to_binary(Count)},
                                     {<<"seconds">>, integer_to_binary(max(1, Interval div 1000))}], [])];
        false ->
            []
    end.

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
mod_opt_type(max_held) -> econf:pos_int();
mod_opt_type(copy) -> econf:list(econf:enum(mod_moved_hook_query:parts()), [unique]).

-spec mod_options(binary()) -> [atom() | {atom(), term()}].
mod_options(_Host) ->
    [component, {timeout, timer:seconds(60)}, {max_held, 5000},
     {copy, mod_moved_hook_query:parts()}].

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
              desc => <<"Requests held at once; one more is not diverted. Bounds memory; one "
                        "user here, and one owner of domains elsewhere, has a fifth of it. "
                        "Default: 5000.">>}},
           {copy,
            #{value => <<"[blocking | pep | private | upload | vcard, ...]">>,
              desc => <<"What may be carried from an account to another; upload: in files. "
                        "Default: all.">>}}],
      example =>
          ["modules:",
           "  mod_moved_hook:",
           "    component: moved.montague.example"]}.
