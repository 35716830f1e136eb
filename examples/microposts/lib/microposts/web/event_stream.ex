defmodule Microposts.Web.EventStream do
  @moduledoc """
  Keeps an open page current by server-sent events: `nodes`, `posts` (all of them), `post` (one
  that has changed). A page that has lost its connection gets everything again.
  """
  alias Microposts.{Events, Posts}
  alias Microposts.Web.View

  # Proxies end connections on which nothing is said.
  @heartbeat 15_000

  def run(socket) do
    Events.subscribe()
    :ok = :net_kernel.monitor_nodes(true)
    # What comes from now on is that the page has gone.
    :ok = :inet.setopts(socket, packet: :raw, active: :once)

    with :ok <- send_nodes(socket), :ok <- send_posts(socket), do: loop(socket)
  end

  defp loop(socket) do
    sent =
      receive do
        {:changed, post} -> send_event(socket, "post", View.post(post))
        :refresh -> send_posts(socket)
        {change, _node} when change in [:nodeup, :nodedown] -> send_nodes(socket)
        {:tcp_closed, ^socket} -> :closed
        {:tcp_error, ^socket, _reason} -> :closed
        {:tcp, ^socket, _data} -> :closed
      after
        @heartbeat -> :gen_tcp.send(socket, ": still here\n\n")
      end

    if sent == :ok, do: loop(socket)
  end

  defp send_nodes(socket), do: send_event(socket, "nodes", View.nodes())
  defp send_posts(socket), do: send_event(socket, "posts", View.posts(Posts.all()))

  defp send_event(socket, name, data) do
    :gen_tcp.send(socket, ["event: ", name, "\ndata: ", data, "\n\n"])
  end
end
