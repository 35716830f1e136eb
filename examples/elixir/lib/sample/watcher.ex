defmodule Sample.Watcher do
  @moduledoc "Logs which nodes come and go, so that the cluster can be seen in the log."
  use GenServer
  require Logger

  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    :ok = :net_kernel.monitor_nodes(true)
    Logger.info("#{node()} is up")
    {:ok, nil}
  end

  @impl true
  def handle_info({change, node}, state) when change in [:nodeup, :nodedown] do
    Logger.info("#{change} #{node}, #{length(Node.list())} connected")
    {:noreply, state}
  end
end
