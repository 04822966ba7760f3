%%% Where somebody went whose account is gone.
%%% Copyright (c) 2026 the xmpp-moved authors. MIT licence.
%%%
%%% docs/hook-protocol.md, "tombstone". A request for the moved statement (XEP-0283) of an account
%%% that does not exist is held while the component is asked; if it knows the new address, the
%%% answer is the error <gone/> (RFC 6120 8.3.3.5), else what this server says anyway.

-module(mod_moved_hook_tombstone).

-export([hold/1]).
%% for mod_moved_hook_held
-export([answered/2, ended/2]).

-include("logger.hrl").
-include_lib("xmpp/include/xmpp.hrl").

-define(NS_HOOK, <<"urn:xmpp-moved:hook:0">>).
-define(NS_MOVED, <<"urn:xmpp:moved:1">>).

%% True if this request to a bare JID is held; its answer comes later.
-spec hold(iq()) -> boolean().
hold(#iq{meta = #{moved_hook := released}}) ->
    false;
hold(#iq{to = #jid{luser = LUser, lserver = Host} = To, sub_els = [Payload]} = IQ) ->
    statement_asked(Payload) andalso
        case mod_moved_hook:component_for(Host, LUser) of
            none ->
                false;
            {Component, Stream} ->
                Tombstone = mod_moved_hook:element(<<"tombstone">>,
                                                   [{<<"jid">>, jid:encode(To)}], []),
                not ejabberd_auth:user_exists(LUser, Host) andalso
                    mod_moved_hook:hold(
                      #{kind => ?MODULE, host => Host, component => Component, stream => Stream,
                        ask => #iq{type = get, from = jid:make(Host), sub_els = [Tombstone]},
                        request => IQ})
        end;
hold(_) ->
    false.

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
