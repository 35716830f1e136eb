%% Logs which nodes come and go, so that the cluster can be seen in the log.
-module(sample_watcher).
-behaviour(gen_server).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-include_lib("kernel/include/logger.hrl").

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

init([]) ->
    ok = net_kernel:monitor_nodes(true),
    ?LOG_NOTICE("~s is up", [node()]),
    {ok, none}.

handle_call(_Request, _From, State) ->
    {reply, ok, State}.

handle_cast(_Request, State) ->
    {noreply, State}.

handle_info({Change, Node}, State) when Change =:= nodeup; Change =:= nodedown ->
    ?LOG_NOTICE("~s ~s, ~b connected", [Change, Node, length(nodes())]),
    {noreply, State}.
