%%% One subscription request that is held: asks the component and does what the verdict says.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% A process of its own, so that nothing can lose more than one request. It always ends in
%%% terminate/2, and every way there but a verdict to take releases the request: a crash, the
%%% time-out, the end of the component's stream, the end of the module or of the server.

-module(mod_moved_hook_held).

-behaviour(gen_server).

-export([start_link/1, verdict/3]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).

-type held() :: #{host := binary(), user := jid(), presence := presence(), timeout := timeout(),
                  items := [roster_item()], touched := [jid:ljid()],
                  component := binary(), stream := pid(), id => binary(), instance => binary()}.

-spec start_link(held()) -> {ok, pid()} | {error, term()}.
start_link(Held) ->
    gen_server:start_link(?MODULE, Held, []).

%% An answer that came on the stream of Component.
-spec verdict(pid(), binary(), iq()) -> ok.
verdict(Pid, Component, IQ) ->
    gen_server:cast(Pid, {verdict, Component, IQ}).

-spec init(held()) -> {ok, held(), {continue, divert}}.
init(#{host := Host, stream := Stream, timeout := Timeout} = Held) ->
    process_flag(trap_exit, true),
    %% The node is part of the id: the component's stream may be on another one of the cluster.
    Id = <<"moved-", (ejabberd_cluster:node_id())/binary, "-",
           (p1_rand:get_alphanum_string(20))/binary>>,
    [{_, Instance}] = mod_moved_hook:lookup(Host, instance),
    ets:insert(mod_moved_hook:table(Host), {{held, Id}, self()}),
    erlang:monitor(process, Stream),
    erlang:send_after(Timeout, self(), timeout),
    {ok, Held#{id => Id, instance => Instance}, {continue, divert}}.

-spec handle_continue(divert, held()) -> {noreply, held(), hibernate}.
handle_continue(divert, #{id := Id, user := User, component := Component, presence := Presence,
                          items := Items, instance := Instance} = Held) ->
    Forwarded = #xmlel{name = <<"forwarded">>, attrs = [{<<"xmlns">>, ?NS_FORWARD}],
                       children = [xmpp:encode(Presence)]},
    Divert = mod_moved_hook:element(<<"divert">>, [{<<"instance">>, Instance}],
                                    [Forwarded | mod_moved_hook:items(Items)]),
    ejabberd_router:route(#iq{type = set, id = Id, from = User, to = jid:make(Component),
                              sub_els = [Divert]}),
    {noreply, maps:remove(items, Held), hibernate}.

-spec handle_cast(term(), held()) -> {noreply, held()} | {stop, {shutdown, term()}, held()}.
handle_cast({verdict, Component, #iq{type = result} = IQ}, #{component := Component} = Held) ->
    case mod_moved_hook:child(<<"take">>, ?NS_HOOK, IQ) of
        none -> {stop, {shutdown, {released, verdict}}, Held};
        Take -> {stop, {shutdown, take(Take, Held)}, Held}
    end;
handle_cast({verdict, Component, #iq{type = error}}, #{component := Component} = Held) ->
    {stop, {shutdown, {released, error}}, Held};
handle_cast(_, Held) ->
    {noreply, Held}.

-spec handle_info(term(), held()) -> {noreply, held()} | {stop, {shutdown, term()}, held()}.
handle_info(timeout, Held) ->
    {stop, {shutdown, {released, timeout}}, Held};
handle_info({'DOWN', _, process, Stream, _}, #{stream := Stream} = Held) ->
    {stop, {shutdown, {released, disconnected}}, Held};
handle_info(_, Held) ->
    {noreply, Held}.

-spec handle_call(term(), term(), held()) -> {noreply, held()}.
handle_call(_, _, Held) ->
    {noreply, Held}.

-spec take(xmlel(), held()) -> {taken, [jid:ljid()]} | {released, 'send-failed'}.
take(Take, #{user := User, touched := Touched}) ->
    case mod_moved_hook:child(<<"send">>, ?NS_HOOK, Take) of
        none ->
            {taken, Touched};
        Send ->
            try mod_moved_hook_roster:send(User, Send) of
                {ok, Sent} ->
                    {taken, Sent};
                {error, Condition, Text} ->
                    ?WARNING_MSG("Could not follow a moved contact of ~ts: ~ts (~ts)",
                                 [jid:encode(User), Condition, Text]),
                    {released, 'send-failed'}
            catch Class:Reason:Stack ->
                    ?ERROR_MSG("Could not follow a moved contact of ~ts:~n** ~ts",
                               [jid:encode(User), misc:format_exception(2, Class, Reason, Stack)]),
                    {released, 'send-failed'}
            end
    end.

-spec terminate(term(), held()) -> any().
terminate({shutdown, {taken, Touched}}, #{host := Host} = Held) ->
    forget(Held),
    catch mod_moved_hook:count(Host, taken),
    tell(<<"taken">>, [], Touched, Held);
terminate({shutdown, {released, Reason}}, #{host := Host, touched := Touched} = Held) ->
    forget(Held),
    try mod_moved_hook:release(maps:get(presence, Held))
    catch Class:Error:Stack ->
            ?ERROR_MSG("Failed to process a released request:~n** ~ts",
                       [misc:format_exception(2, Class, Error, Stack)])
    end,
    catch mod_moved_hook:count(Host, {released, Reason}),
    tell(<<"released">>, [{<<"reason">>, atom_to_binary(Reason, utf8)}], Touched, Held);
terminate(shutdown, #{host := Host} = Held) ->
    [{_, Leaving}] = mod_moved_hook:lookup(Host, leaving),
    terminate({shutdown, {released, Leaving}}, Held);
terminate(_Crash, Held) ->
    terminate({shutdown, {released, error}}, Held).

-spec forget(held()) -> any().
forget(#{host := Host, id := Id}) ->
    catch ets:delete(mod_moved_hook:table(Host), {held, Id}).

%% The outcome (section 3), after every effect.
-spec tell(binary(), [{binary(), binary()}], [jid:ljid()], held()) -> any().
tell(State, Reason, Touched, #{id := Id, instance := Instance, user := User,
                               component := Component}) ->
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
