%%% What the live tests need inside ejabberd and no real server should have.
%%%
%%% POST / (ejabberd_http, JSON) arranges accounts and rosters: {"do": "user", "user", "host",
%%% "password"} and {"do": "roster", "user", "host", "items": [{"jid", "name", "groups",
%%% "subscription", "ask": none | out | in | both}]}; {"do": "eval", "code"} answers
%%% the value of Erlang expressions.
%%%
%%% The folder `fault_path` holds one file per account, named <localpart>@<host>, that says how a
%%% request for its moved statement is answered: first line "silent", "error" or "result"; the
%%% rest is the <error/> or <pubsub/> element. Files are read at each request.

-module(mod_test_help).

-behaviour(gen_mod).

-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0]).
-export([process/2, filter_packet/1]).

-include("mod_roster.hrl").
-include_lib("xmpp/include/xmpp.hrl").
-include("ejabberd_http.hrl").

start(_Host, #{zone := Zone}) ->
    %% The only SRV records there are. Addresses stand for names: ejabberd resolves those through
    %% the C library, past Erlang's own resolver.
    [ok = inet_db:add_rr("_xmpp-server._tcp." ++ binary_to_list(Domain), in, srv, 1000000,
                         {0, 0, Port, binary_to_list(Address)})
     || #{domain := Domain, address := Address, port := Port} <- Zone],
    ejabberd_hooks:add(filter_packet, ?MODULE, filter_packet, 10),
    ok.

stop(_Host) ->
    ejabberd_hooks:delete(filter_packet, ?MODULE, filter_packet, 10).

reload(_, _, _) -> ok.
depends(_, _) -> [].
mod_opt_type(fault_path) -> econf:binary();
mod_opt_type(zone) ->
    econf:list(econf:options(#{domain => econf:binary(), address => econf:binary(),
                               port => econf:port()}, [{return, map}])).
mod_options(_) -> [fault_path, zone].
mod_doc() -> #{}.

process(_, #request{method = 'POST', data = Data}) ->
    Request = misc:json_decode(Data),
    try do(maps:get(<<"do">>, Request), Request) of
        Text ->
            %% Mnesia writes within two seconds; a test may kill the server before.
            ok = mnesia:sync_log(),
            {200, [], Text}
    catch Class:Reason:Stack ->
            {500, [], iolist_to_binary(io_lib:format("~p", [{Class, Reason, Stack}]))}
    end.

do(<<"user">>, #{<<"user">> := User, <<"host">> := Host, <<"password">> := Password}) ->
    ok = ejabberd_auth:try_register(User, Host, Password),
    <<"ok">>;
do(<<"roster">>, #{<<"user">> := User, <<"host">> := Host, <<"items">> := Items}) ->
    [{atomic, _} = mod_roster:set_roster(item(jid:nodeprep(User), Host, Item)) || Item <- Items],
    <<"ok">>;
do(<<"eval">>, #{<<"code">> := Code}) ->
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Code)),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Exprs, []),
    iolist_to_binary(io_lib:format("~p", [Value])).

item(LUser, Host, #{<<"jid">> := Jid, <<"subscription">> := Subscription, <<"ask">> := Ask,
                    <<"name">> := Name, <<"groups">> := Groups}) ->
    LJid = jid:tolower(jid:decode(Jid)),
    #roster{usj = {LUser, Host, LJid}, us = {LUser, Host}, jid = LJid, name = Name, groups = Groups,
            subscription = binary_to_existing_atom(Subscription, utf8),
            ask = binary_to_existing_atom(Ask, utf8)}.

filter_packet(#iq{type = get, from = From, to = #jid{luser = <<_, _/binary>>} = To,
                  sub_els = [SubEl]} = IQ) ->
    case statement_asked(xmpp:encode(SubEl)) andalso fault(To) of
        false ->
            IQ;
        {<<"silent">>, _} ->
            drop;
        {Kind, Payload} ->
            SubEls = case string:trim(Payload) of
                         <<>> -> [];
                         Text -> [fxml_stream:parse_element(Text)]
                     end,
            Type = case Kind of <<"error">> -> error; <<"result">> -> result end,
            ejabberd_router:route(IQ#iq{type = Type, from = To, to = From, sub_els = SubEls}),
            drop
    end;
filter_packet(Packet) ->
    Packet.

statement_asked(#xmlel{name = <<"pubsub">>} = El) ->
    <<"urn:xmpp:moved:1">> == fxml:get_path_s(El, [{elem, <<"items">>}, {attr, <<"node">>}]);
statement_asked(_) ->
    false.

fault(#jid{lserver = Host} = To) ->
    case gen_mod:is_loaded(Host, ?MODULE) andalso
        file:read_file(filename:join(gen_mod:get_module_opt(Host, ?MODULE, fault_path),
                                     jid:encode(jid:remove_resource(To)))) of
        {ok, Text} -> list_to_tuple(binary:split(Text, <<"\n">>));
        _ -> false
    end.
