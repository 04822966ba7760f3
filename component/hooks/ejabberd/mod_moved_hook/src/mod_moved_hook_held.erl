%%% One question to the component, and the stanza that is held until the answer is there.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% A process of its own, so that nothing can lose more than one stanza. It always ends in
%%% terminate/2, and every way there but an answer that says otherwise gives the stanza back: a
%%% crash, the time-out, the end of the component's stream, the end of the module or of the server.
%%%
%%% What is asked, and what an answer means, is known to the module `kind`. It has
%%%   answered(iq(), held()) -> result()  for a result of the component;
%%%   ended(result(), held()) -> any()    called once, at the end.
%%%
%%% A subscription request can be found by who asks whom, on every node of a cluster: what else the
%%% sender says of it meanwhile belongs to it.

-module(mod_moved_hook_held).

-behaviour(gen_server).

-export([start_link/1, most/1, verdict/3, create_table/0, requests/1, requests_to/2, finish/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-export_type([held/0, result/0]).

%% `ask` is the question but for its id and addressee. What else is in there belongs to `kind`.
-type held() :: #{kind := module(), host := binary(), component := binary(), stream := pid(),
                  ask => iq(), request => {key(), jid:ljid() | none}, timeout => timeout(),
                  users => [user()], id => binary(), atom() => any()}.
-type result() :: {taken, any()} | {released, atom()} | withdrawn.

%% Whom a place of what may be held is counted for: a user here, or an owner of domains elsewhere.
-type user() :: {to | owner, binary()}.

%% Who is asked, and by whom.
-type key() :: {{binary(), binary()}, jid:ljid()}.

%% A request, and the old address that it names (none: an ordinary one).
-record(moved_held, {key :: key() | {{binary(), binary()}, '_'} | '_',
                     old :: jid:ljid() | none | '_', pid :: pid() | '_'}).

-spec start_link(held()) -> {ok, pid()} | {error, term()}.
start_link(Held) ->
    gen_server:start_link(?MODULE, Held, []).

%% An answer that came on the stream of Component.
-spec verdict(pid(), binary(), iq()) -> ok.
verdict(Pid, Component, IQ) ->
    gen_server:cast(Pid, {verdict, Component, IQ}).

%% How much is held of this kind for that one of its users for whom most is.
-spec most(held()) -> non_neg_integer().
most(#{host := Host} = Held) ->
    lists:max([0 | [N || Key <- places(Held), {_, N} <- mod_moved_hook:lookup(Host, Key)]]).

-spec places(held()) -> [tuple()].
places(#{kind := Kind} = Held) -> [{places, Kind, User} || User <- maps:get(users, Held, [])].

-spec take_places(held()) -> any().
take_places(#{host := Host} = Held) ->
    [ets:update_counter(mod_moved_hook:table(Host), Key, 1, {Key, 0}) || Key <- places(Held)].

-spec leave_places(held()) -> any().
leave_places(#{host := Host} = Held) ->
    Table = mod_moved_hook:table(Host),
    [ets:delete_object(Table, {Key, 0})
     || Key <- places(Held), ets:update_counter(Table, Key, -1) == 0].

%%% Requests ----------------------------------------------------------------------------------

%% The other nodes still have the rows of a node that died.
-spec create_table() -> any().
create_table() ->
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_held,
                     [{ram_copies, [node()]}, {type, bag},
                      {attributes, record_info(fields, moved_held)}]),
    [mnesia:dirty_delete_object(Row) || #moved_held{pid = Pid} = Row <- select('_'),
                                        node(Pid) == node(), not alive(Pid)].

%% Those held of one sender to one user.
-spec requests(key()) -> [{jid:ljid() | none, pid()}].
requests(Key) ->
    [{Old, Pid} || #moved_held{old = Old, pid = Pid} <- mnesia:dirty_read(moved_held, Key),
                   alive(Pid)].

%% Those held of anybody to a user.
-spec requests_to(binary(), binary()) -> [pid()].
requests_to(LUser, Host) ->
    [Pid || #moved_held{pid = Pid} <- select({{LUser, Host}, '_'})].

-spec select(term()) -> [#moved_held{}].
select(Key) ->
    mnesia:dirty_select(moved_held, [{#moved_held{key = Key, _ = '_'}, [], ['$_']}]).

%% A row of a process that could not delete it (its node died) is void; that of a process of this
%% node before it started anew is even a bad argument. Asking another node costs time, but few
%% requests come by another node than the one before them.
-spec alive(pid()) -> boolean().
alive(Pid) when node(Pid) == node() ->
    true == (catch is_process_alive(Pid));
alive(Pid) ->
    lists:member(node(Pid), ejabberd_cluster:get_nodes())
        andalso true == rpc:call(node(Pid), erlang, is_process_alive, [Pid], timer:seconds(1)).

%% End it now. When this returns all has been done that had to be; what the component says of it
%% later changes nothing.
-spec finish(pid(), result()) -> any().
finish(Pid, Result) -> catch gen_server:call(Pid, {finish, Result}).

%% False if the same is held already, by whatever node: no two can both find nothing. That costs
%% milliseconds in a cluster, so only what is about to be held comes here.
-spec claim(held()) -> boolean().
claim(#{request := {Key, Old}} = Held) ->
    Mine = #moved_held{key = Key, old = Old, pid = self()},
    F = fun() ->
                case [Row || #moved_held{old = O} = Row <- mnesia:wread({moved_held, Key}),
                             O == Old] of
                    [] -> mnesia:write(Mine), [];
                    Rows -> Rows
                end
        end,
    case mnesia:transaction(F) of
        {atomic, []} ->
            true;
        {atomic, Rows} ->
            case lists:any(fun(#moved_held{pid = Pid}) -> alive(Pid) end, Rows) of
                true ->
                    false;
                false ->
                    [mnesia:dirty_delete_object(Row) || Row <- Rows],
                    claim(Held)
            end
    end;
claim(_) ->
    true.

-spec unclaim(held()) -> any().
unclaim(#{request := {Key, Old}}) ->
    mnesia:dirty_delete_object(#moved_held{key = Key, old = Old, pid = self()});
unclaim(_) ->
    ok.

%%% The process -------------------------------------------------------------------------------

-spec init(held()) -> {ok, held(), {continue, ask}} | ignore.
init(Held) ->
    process_flag(trap_exit, true),
    case claim(Held) of
        true -> start(Held);
        false -> ignore
    end.

-spec start(held()) -> {ok, held(), {continue, ask}}.
start(#{host := Host, stream := Stream} = Held) ->
    %% The node is part of the id: the component's stream may be on another one of the cluster.
    Id = <<"moved-", (ejabberd_cluster:node_id())/binary, "-",
           (p1_rand:get_alphanum_string(20))/binary>>,
    ets:insert(mod_moved_hook:table(Host), {{held, Id}, self()}),
    take_places(Held),
    erlang:monitor(process, Stream),
    erlang:send_after(mod_moved_hook:option(Host, timeout), self(), timeout),
    {ok, Held#{id => Id}, {continue, ask}}.

-spec handle_continue(ask, held()) -> {noreply, held(), hibernate}.
handle_continue(ask, #{id := Id, component := Component, ask := Question} = Held) ->
    ejabberd_router:route(Question#iq{id = Id, to = jid:make(Component)}),
    {noreply, maps:remove(ask, Held), hibernate}.

-spec handle_cast(term(), held()) -> {noreply, held()} | {stop, {shutdown, result()}, held()}.
handle_cast({verdict, Component, #iq{type = result} = IQ},
            #{component := Component, kind := Kind} = Held) ->
    {stop, {shutdown, Kind:answered(IQ, Held)}, Held};
handle_cast({verdict, Component, #iq{type = error}}, #{component := Component} = Held) ->
    {stop, {shutdown, {released, error}}, Held};
handle_cast(_, Held) ->
    {noreply, Held}.

-spec handle_info(term(), held()) -> {noreply, held()} | {stop, {shutdown, result()}, held()}.
handle_info(timeout, Held) ->
    {stop, {shutdown, {released, timeout}}, Held};
handle_info({'DOWN', _, process, Stream, _}, #{stream := Stream} = Held) ->
    {stop, {shutdown, {released, disconnected}}, Held};
handle_info(_, Held) ->
    {noreply, Held}.

-spec handle_call(term(), term(), held()) ->
          {noreply, held()} | {stop, {shutdown, result()}, ok, held()}.
handle_call({finish, Result}, _, Held) ->
    {stop, {shutdown, Result}, ok, Held};
handle_call(_, _, Held) ->
    {noreply, Held}.

-spec terminate(term(), held()) -> any().
terminate({shutdown, Result}, #{host := Host, id := Id, kind := Kind} = Held) ->
    catch ets:delete(mod_moved_hook:table(Host), {held, Id}),
    catch leave_places(Held),
    catch unclaim(Held),
    Kind:ended(Result, Held);
terminate(shutdown, #{host := Host} = Held) ->
    Leaving = case catch mod_moved_hook:lookup(Host, leaving) of
                  [{_, Why}] -> Why;
                  _ -> unloaded
              end,
    terminate({shutdown, {released, Leaving}}, Held);
terminate(_Crash, Held) ->
    terminate({shutdown, {released, error}}, Held).
