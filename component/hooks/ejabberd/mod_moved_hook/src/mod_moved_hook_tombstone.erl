%%% Where somebody went whose account is gone.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, "tombstone". A request for the moved statement (XEP-0283) of an account
%%% that does not exist is held while the component is asked; if it knows the new address, the
%%% answer is the error <gone/> (RFC 6120 8.3.3.5), else what this server says anyway.
%%%
%%% The component tells who went away with a tombstone, and is asked about nobody else. Until it has
%%% told, it is asked about everybody. The names are in a table in memory that all nodes of a cluster
%%% share. Per host and node there is one process, which writes what came in here in its order.

-module(mod_moved_hook_tombstone).

-behaviour(gen_server).

-export([start_link/1, proc/1, set/3, hold/1]).
%% for mod_moved_hook_held
-export([answered/2, ended/2]).
-export([init/1, handle_call/3, handle_cast/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).

%% Somebody who left. With ?ALL instead of a name: those of this host are all here.
-record(moved_left, {us :: {binary(), binary()} | '_', since :: integer() | '_'}).
-define(ALL, <<>>).

%% Of each component that is telling its list, those of whom it has said nothing so far.
-type state() :: #{host := binary(), stale := #{binary() => #{{binary(), binary()} => true}}}.

-spec proc(binary()) -> atom().
proc(Host) -> gen_mod:get_module_proc(Host, ?MODULE).

-spec start_link(binary()) -> {ok, pid()} | {error, term()}.
start_link(Host) ->
    gen_server:start_link({local, proc(Host)}, ?MODULE, Host, []).

%%% Asking ------------------------------------------------------------------------------------

%% True if this request to a bare JID is held; its answer comes later.
-spec hold(iq()) -> boolean().
hold(#iq{meta = #{moved_hook := released}}) ->
    false;
hold(#iq{to = #jid{luser = LUser, lserver = Host} = To, sub_els = [Payload]} = IQ) ->
    statement_asked(Payload) andalso may_have_left(LUser, Host) andalso
        case mod_moved_hook:component_for(Host, LUser) of
            none ->
                false;
            {Component, Stream} ->
                Tombstone = mod_moved_hook:element(<<"tombstone">>,
                                                   [{<<"jid">>, jid:encode(To)},
                                                    {<<"asker">>, asker(IQ)}], []),
                not ejabberd_auth:user_exists(LUser, Host) andalso
                    mod_moved_hook:hold(
                      #{kind => ?MODULE, host => Host, component => Component, stream => Stream,
                        ask => #iq{type = get, from = jid:make(Host), sub_els = [Tombstone]},
                        %% Anybody may ask about whomever they like: nothing is counted for those.
                        users => [{owner, mod_moved_hook:owner((IQ#iq.from)#jid.lserver)}],
                        request => IQ})
        end;
hold(_) ->
    false.

-spec asker(iq()) -> binary().
asker(#iq{from = From}) -> jid:encode(jid:remove_resource(From)).

-spec may_have_left(binary(), binary()) -> boolean().
may_have_left(LUser, Host) ->
    known(LUser, Host) orelse not known(?ALL, Host).

-spec known(binary(), binary()) -> boolean().
known(LUser, Host) -> [] /= mnesia:dirty_read(moved_left, {LUser, Host}).

%% Requests are decoded as far as this where the server is told to validate all (or made them).
-spec statement_asked(xmlel() | xmpp_element()) -> boolean().
statement_asked(#pubsub{items = #ps_items{node = ?NS_MOVED}}) ->
    true;
statement_asked(#xmlel{name = <<"pubsub">>, attrs = Attrs, children = Children}) ->
    {<<"xmlns">>, ?NS_PUBSUB} == lists:keyfind(<<"xmlns">>, 1, Attrs) andalso
        lists:any(fun(#xmlel{name = <<"items">>} = El) ->
                          ?NS_MOVED == fxml:get_tag_attr_s(<<"node">>, El);
                     (_) ->
                          false
                  end, Children);
statement_asked(_) ->
    false.

-spec answered(iq(), mod_moved_hook_held:held()) -> mod_moved_hook_held:result().
answered(IQ, _) ->
    case mod_moved_hook:child(<<"tombstone">>, ?NS_HOOK, IQ) of
        none ->
            {released, verdict};
        El ->
            case string:trim(fxml:get_tag_cdata(El)) of
                <<"xmpp:", _, _/binary>> = Uri -> {taken, Uri};
                _ -> {released, verdict}
            end
    end.

-spec ended(mod_moved_hook_held:result(), mod_moved_hook_held:held()) -> any().
ended({taken, Uri}, #{request := IQ}) ->
    ejabberd_router:route_error(IQ, #stanza_error{type = cancel, reason = #gone{uri = Uri}});
ended({released, _}, #{request := IQ}) ->
    mod_moved_hook:release(IQ).

%%% Who left ----------------------------------------------------------------------------------

%% The order of a component, to be called by the process of its stream: its orders have an order.
-spec set(binary(), iq(), xmlel()) -> ok.
set(Host, IQ, Tombstones) ->
    gen_server:cast(proc(Host), {tombstones, IQ, Tombstones}).

-spec init(binary()) -> {ok, state()}.
init(Host) ->
    {atomic, ok} = ejabberd_mnesia:create(
                     ?MODULE, moved_left,
                     [{ram_copies, [node()]}, {attributes, record_info(fields, moved_left)}]),
    {ok, #{host => Host, stale => #{}}}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast({tombstones, #iq{from = #jid{lserver = Component}} = IQ, Tombstones},
            #{host := Host} = State) ->
    try [account(Host, El) || #xmlel{name = <<"account">>} = El <- Tombstones#xmlel.children] of
        Accounts ->
            Said = fun(Name) -> <<"true">> == fxml:get_tag_attr_s(Name, Tombstones) end,
            NewState = told(Component, Accounts, Said(<<"begin">>), Said(<<"end">>), State),
            mod_moved_hook:reply(IQ, []),
            {noreply, NewState}
    catch error:_ ->
            mod_moved_hook:reply(IQ, {error, modify, 'bad-request',
                                      <<"tombstones takes accounts of this host">>}),
            {noreply, State}
    end.

-spec account(binary(), xmlel()) -> {{binary(), binary()}, left | removed}.
account(Host, El) ->
    #jid{luser = <<_, _/binary>> = LUser, lserver = Host, lresource = <<>>} =
        jid:decode(fxml:get_tag_attr_s(<<"jid">>, El)),
    case fxml:get_tag_attr_s(<<"state">>, El) of
        <<"removed">> -> {{LUser, Host}, removed};
        _ -> {{LUser, Host}, left}
    end.

%% From "begin" to "end" it is all of them, else these are added or removed. Of several components
%% that share what they know each may tell of it, on any node: who came while the list was told stays.
-spec told(binary(), [{{binary(), binary()}, left | removed}], boolean(), boolean(), state()) ->
          state().
told(Component, Accounts, true, End, #{host := Host, stale := Stale} = State) ->
    Known = mnesia:dirty_select(moved_left, [{#moved_left{us = {'$1', Host}, _ = '_'},
                                              [{'/=', '$1', ?ALL}], [{{'$1', Host}}]}]),
    Old = maps:from_list([{US, true} || US <- Known]),
    told(Component, Accounts, false, End, State#{stale := Stale#{Component => Old}});
told(Component, Accounts, false, End, #{host := Host, stale := Stale} = State) ->
    [case What of
         left -> mnesia:dirty_write(#moved_left{us = US, since = erlang:system_time(second)});
         removed -> mnesia:dirty_delete(moved_left, US)
     end || {US, What} <- Accounts],
    Names = [US || {US, _} <- Accounts],
    Less = maps:map(fun(_, Old) -> maps:without(Names, Old) end, Stale),
    case Less of
        #{Component := Old} when End ->
            [mnesia:dirty_delete(moved_left, US) || US <- maps:keys(Old)],
            mnesia:dirty_write(#moved_left{us = {?ALL, Host}, since = erlang:system_time(second)}),
            State#{stale := maps:remove(Component, Less)};
        _ ->
            State#{stale := Less}
    end.

-spec handle_call(term(), term(), state()) -> {noreply, state()}.
handle_call(_, _, State) ->
    {noreply, State}.
