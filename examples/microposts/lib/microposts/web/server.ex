defmodule Microposts.Web.Server do
  @moduledoc "Listens, and gives every connection a process of its own."
  use Task, restart: :permanent
  require Logger
  alias Microposts.Web.Connection

  # packet: :http_bin has the VM take requests apart; lines longer than packet_size are refused.
  # A page that does not read is given up, so that it holds nothing but its own process.
  @options [
    :binary,
    packet: :http_bin,
    packet_size: 8192,
    active: false,
    reuseaddr: true,
    backlog: 256,
    nodelay: true,
    send_timeout: 10_000,
    send_timeout_close: true
  ]

  def start_link(options), do: Task.start_link(__MODULE__, :run, [options[:port]])

  def run(port) do
    case :gen_tcp.listen(port, @options) do
      {:ok, listener} ->
        Logger.info("#{node()} serves on port #{port}")
        accept(listener)

      {:error, reason} ->
        exit(
          "cannot listen on port #{port}: #{:inet.format_error(reason)}; PORT sets another one"
        )
    end
  end

  defp accept(listener) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} -> hand_over(socket)
      # Out of file descriptors, or whoever called has hung up: neither is the end.
      {:error, reason} when reason != :closed -> Process.sleep(50)
    end

    accept(listener)
  end

  defp hand_over(socket) do
    serve = fn ->
      receive do
        :yours -> Connection.serve(socket)
      after
        5_000 -> :ok
      end
    end

    with {:ok, pid} <- Task.Supervisor.start_child(Microposts.Connections, serve),
         :ok <- :gen_tcp.controlling_process(socket, pid) do
      send(pid, :yours)
    else
      _full_or_gone -> :gen_tcp.close(socket)
    end
  end
end
