%%% Users with a move of their own under way: the component watches what others answer them.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, "watch". Watches are in a table in memory that all nodes of a cluster
%%% share, so it does not matter on which of them the component and a sender are. Per host and node
%%% there is one process: it writes the watches that came in here, and drops them when the stream
%%% that they came on ends. It also remembers who wrote to whom in the last minute; that each node
%%% does for itself.

-module(mod_moved_hook_watch).

-behaviour(gen_server).

-export([start_link/1, proc/1, set/4, watched/1, watcher/2, message/1, heard/1]).
%% hooks
-export([in_subscription/2, remove_user/2]).
%% for mod_moved_hook_held
-export([answered/2, ended/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).

%% A sender is asked about once in this time.
-define(PAUSE, timer:seconds(60)).
%% Characters.
-define(LONGEST_ANSWER, 1024).

-type wanted() :: requests | answers | messages.

-record(moved_watch, {us :: {binary(), binary()} | '_', component :: binary() | '_',
                      stream :: pid() | '_', wanted :: [wanted()] | '_'}).

-type state() :: #{host := binary(), streams := #{pid() => reference()}}.

%% The name of a host's process, and of its table of recent senders.
-spec proc(binary()) -> atom().
proc(Host) -> gen_mod:get_module_proc(Host, ?MODULE).

-spec start_link(binary()) -> {ok, pid()} | {error, term()}.
start_link(Host) ->
    gen_server:start_link({local, proc(Host)}, ?MODULE, Host, []).

%%% Watches -----------------------------------------------------------------------------------

%% The order of a component, to be called by the process of its stream: of two watches of a user the
%% later one counts.
-spec set(binary(), pid(), iq(), xmlel()) -> ok.
set(Host, Stream, IQ, Watch) ->
    Wanted = [What || {Name, What} <- [{<<"requests">>, requests}, {<<"answers">>, answers},
                                       {<<"messages">>, messages}],
                      lists:member(fxml:get_tag_attr_s(Name, Watch), [<<"true">>, <<"1">>])],
    gen_server:cast(proc(Host), {watch, Stream, IQ, Watch, Wanted}).

%% How many users of a host are watched.
-spec watched(binary()) -> non_neg_integer().
watched(Host) ->
    Live = lists:flatmap(fun mod_moved_hook:streams/1, mod_moved_hook:option(Host, component)),
    length([us || #moved_watch{stream = Stream} <- select(#moved_watch{us = {'_', Host}, _ = '_'}),
                  lists:member(Stream, Live)]).

%% Who is to be told or asked, if anybody. A watch may outlive its stream for a moment, and where
%% the stream's whole node is gone until the component sets it anew; it is void all the same.
-spec watcher(jid(), wanted()) -> {binary(), pid()} | none.
watcher(#jid{luser = LUser, lserver = Host}, What) ->
    case mnesia:dirty_read(moved_watch, {LUser, Host}) of
        [#moved_watch{component = Component, stream = Stream, wanted = Wanted}] ->
            case lists:member(What, Wanted)
                andalso lists:member(Component, mod_moved_hook:option(Host, component))
                andalso lists:member(Stream, mod_moved_hook:streams(Component)) of
                true -> {Component, Stream};
                false -> none
            end;
        [] ->
            none
    end.

%% Whoever gets this name next is somebody else.
-spec remove_user(binary(), binary()) -> ok.
remove_user(User, Server) ->
    mnesia:dirty_delete(moved_watch, {jid:nodeprep(User), jid:nameprep(Server)}).

-spec select(#moved_watch{}) -> [#moved_watch{}].
select(Pattern) -> mnesia:dirty_select(moved_watch, [{Pattern, [], ['$_']}]).

-spec drop(#moved_watch{}) -> any().
drop(Pattern) -> [mnesia:dirty_delete_object(Watch) || Watch <- select(Pattern)].

%% Requests that came while nobody watched: the component may know that the user wants them.
-spec pending(jid(), boolean()) -> [xmlel()].
pending(_, false) ->
    [];
pending(#jid{lserver = Host} = User, true) ->
    Jids = lists:sublist(mod_moved_hook_roster:pending(User),
                         mod_moved_hook:option(Host, max_held)),
    [mod_moved_hook:element(<<"watch">>, [],
                            [#xmlel{name = <<"pending">>,
                                    attrs = [{<<"jid">>, jid:encode(Jid)}]} || Jid <- Jids])].

%%% What others answer ------------------------------------------------------------------------

%% Runs after mod_roster and whatever else changes the roster. (An answer that one of them stopped
%% has changed nothing: mod_shared_roster does so where both are in a group.)
-spec in_subscription(boolean(), presence()) -> boolean().
in_subscription(Acc, #presence{type = Type, to = #jid{lresource = <<>>}} = Presence)
  when Type == subscribed; Type == unsubscribed; Type == unsubscribe ->
    heard(Presence),
    Acc;
in_subscription(Acc, _) ->
    Acc.

%% Tell of an answer or an error. In the process that routes the presence, which keeps the order.
-spec heard(presence()) -> any().
heard(#presence{type = Type, from = From, to = User} = Presence) ->
    case watcher(User, answers) of
        {Component, _} ->
            Sender = jid:remove_resource(From),
            Attrs = [{<<"type">>, atom_to_binary(Type, utf8)}, {<<"jid">>, jid:encode(Sender)}
                     | condition(Presence)],
            Items = mod_moved_hook_roster:items(User, [jid:tolower(Sender)]),
            Heard = mod_moved_hook:element(<<"heard">>, Attrs, mod_moved_hook:items(Items)),
            %% Block lists count here as well.
            (Type /= error orelse mod_moved_hook_divert:allowed(User, Presence, in)) andalso
                ejabberd_router:route(
                  #message{id = p1_rand:get_string(), from = User, to = jid:make(Component),
                           sub_els = [Heard]});
        none ->
            ok
    end.

-spec condition(presence()) -> [{binary(), binary()}].
condition(#presence{type = error} = Presence) ->
    Condition = case xmpp:get_error(Presence) of
                    #stanza_error{reason = #gone{}} -> gone;
                    #stanza_error{reason = #redirect{}} -> redirect;
                    #stanza_error{reason = Reason} when Reason /= undefined -> Reason;
                    _ -> 'undefined-condition'
                end,
    [{<<"condition">>, atom_to_binary(Condition, utf8)}];
condition(_) ->
    [].

%%% Who wrote ---------------------------------------------------------------------------------

%% A message of type chat or normal with a body from a device, on its way: it does not wait.
-spec message(message()) -> any().
message(#message{to = To} = Message) ->
    case watcher(To, messages) of
        none -> ok;
        Watcher -> spawn(fun() -> wrote(Watcher, Message) end)
    end.

-spec wrote({binary(), pid()}, message()) -> any().
wrote({Component, Stream}, #message{from = From, to = To} = Message) ->
    #jid{luser = LUser, lserver = Host} = User = jid:remove_resource(To),
    Sender = jid:remove_resource(From),
    Key = {LUser, jid:tolower(Sender)},
    case jid:tolower(Sender) /= jid:tolower(User)
        andalso not ets:member(proc(Host), Key)
        andalso not xmpp:has_subtag(Message, #delay{stamp = {0, 0, 0}})
        andalso subscribed(User, Sender)
        andalso mod_moved_hook_divert:allowed(User, Message, in) of
        true ->
            Wrote = mod_moved_hook:element(<<"wrote">>, [{<<"jid">>, jid:encode(Sender)}
                                                         | language(Message)], []),
            Held = #{kind => ?MODULE, host => Host, component => Component, stream => Stream,
                     ask => #iq{type = get, from = User, sub_els = [Wrote]},
                     user => User, sender => From},
            gen_server:cast(proc(Host), {ask, Key, Held});
        false ->
            ok
    end.

-spec subscribed(jid(), jid()) -> boolean().
subscribed(User, Sender) ->
    case mod_moved_hook_roster:items(User, [jid:tolower(Sender)]) of
        [#roster_item{subscription = Subscription}] -> Subscription /= none;
        [] -> false
    end.

%% What the body itself says is nearer to the truth: a stanza without xml:lang gets the server's.
-spec language(message()) -> [{binary(), binary()}].
language(#message{body = [#text{lang = <<_, _/binary>> = Lang}]}) -> [{<<"lang">>, Lang}];
language(#message{lang = <<_, _/binary>> = Lang}) -> [{<<"lang">>, Lang}];
language(_) -> [].

-spec answered(iq(), mod_moved_hook_held:held()) -> mod_moved_hook_held:result().
answered(IQ, _) ->
    case mod_moved_hook:child(<<"answer">>, ?NS_HOOK, IQ) of
        none ->
            {released, verdict};
        El ->
            Text = fxml:get_tag_cdata(El),
            case length(unicode:characters_to_list(Text)) of
                N when N >= 1, N =< ?LONGEST_ANSWER ->
                    {taken, {fxml:get_tag_attr_s(<<"xml:lang">>, El), Text}};
                _ ->
                    {released, verdict}
            end
    end.

%% From the bare address: that is how others know that nobody wrote it.
-spec ended(mod_moved_hook_held:result(), mod_moved_hook_held:held()) -> any().
ended({taken, {Lang, Text}}, #{user := User, sender := Sender}) ->
    Answer = #message{type = chat, id = p1_rand:get_string(), from = User, to = Sender,
                      lang = Lang, body = [#text{data = Text}]},
    mod_moved_hook_divert:allowed(User, Answer, out) andalso ejabberd_router:route(Answer);
ended({released, _}, _) ->
    ok.

%%% The process -------------------------------------------------------------------------------

-spec init(binary()) -> {ok, state()}.
init(Host) ->
    process_flag(trap_exit, true),
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_watch,
                     [{ram_copies, [node()]}, {attributes, record_info(fields, moved_watch)}]),
    _ = ets:new(proc(Host), [named_table, protected, {read_concurrency, true}]),
    forget_all(Host),
    {ok, #{host => Host, streams => #{}}}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast({watch, Stream, #iq{to = #jid{luser = LUser, lserver = Host} = User} = IQ, Watch, Wanted},
            State) ->
    US = {LUser, Host},
    Result =
        try {ejabberd_auth:user_exists(LUser, Host) andalso mod_moved_hook_account:meant(User, Watch),
             Wanted} of
            {true, [_ | _]} ->
                Component = (IQ#iq.from)#jid.lserver,
                mnesia:dirty_write(#moved_watch{us = US, component = Component, stream = Stream,
                                                wanted = Wanted}),
                pending(IQ#iq.to, lists:member(requests, Wanted));
            {true, []} ->
                mnesia:dirty_delete(moved_watch, US),
                [];
            {false, _} ->
                mnesia:dirty_delete(moved_watch, US),
                {error, cancel, 'item-not-found', <<"no such user, or it is not the one meant">>}
        catch Class:Reason:Stack ->
                ?ERROR_MSG("Failed to set a watch:~n** ~ts",
                           [misc:format_exception(2, Class, Reason, Stack)]),
                {error, wait, 'internal-server-error', <<"see the server's log">>}
        end,
    mod_moved_hook:reply(IQ, Result),
    {noreply, monitored(Stream, State)};
handle_cast({ask, Key, #{host := Host} = Held}, State) ->
    Table = proc(Host),
    Max = mod_moved_hook:option(Host, max_held),
    case ets:info(Table, size) < Max andalso asked_of(Key, Table) < mod_moved_hook:part(Max)
        andalso ets:insert_new(Table, {Key}) of
        true ->
            erlang:send_after(?PAUSE, self(), {forget, Key}),
            mod_moved_hook_held:start_link(Held);
        false ->
            ok
    end,
    {noreply, State}.

%% Of one user of ours, who has a part of what may be asked about.
-spec asked_of({binary(), jid:ljid()}, atom()) -> non_neg_integer().
asked_of({LUser, _}, Table) -> ets:select_count(Table, [{{{LUser, '_'}}, [], [true]}]).

%% A stream that has ended already is reported at once.
-spec monitored(pid(), state()) -> state().
monitored(Stream, #{streams := Streams} = State) when is_map_key(Stream, Streams) ->
    State;
monitored(Stream, #{streams := Streams} = State) ->
    State#{streams := Streams#{Stream => erlang:monitor(process, Stream)}}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'DOWN', _, process, Stream, _}, #{host := Host, streams := Streams} = State) ->
    drop(#moved_watch{us = {'_', Host}, stream = Stream, _ = '_'}),
    {noreply, State#{streams := maps:remove(Stream, Streams)}};
handle_info({forget, Key}, #{host := Host} = State) ->
    ets:delete(proc(Host), Key),
    {noreply, State};
%% Of questions that have ended, and of what else this process does not wait for.
handle_info(_, State) ->
    {noreply, State}.

-spec handle_call(term(), term(), state()) -> {noreply, state()}.
handle_call(_, _, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> any().
terminate(_, #{host := Host}) ->
    forget_all(Host).

%% The watches that came in at this node.
-spec forget_all(binary()) -> any().
forget_all(Host) ->
    [mnesia:dirty_delete_object(Watch)
     || #moved_watch{stream = Stream} = Watch <- select(#moved_watch{us = {'_', Host}, _ = '_'}),
        node(Stream) == node()].
