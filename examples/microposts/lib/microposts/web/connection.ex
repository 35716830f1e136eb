defmodule Microposts.Web.Connection do
  @moduledoc "One request and its answer; then the connection is closed."
  alias Microposts.Web.{EventStream, Request, Router}

  @reasons %{
    200 => "OK",
    201 => "Created",
    400 => "Bad Request",
    404 => "Not Found",
    405 => "Method Not Allowed",
    411 => "Length Required",
    413 => "Content Too Large",
    422 => "Unprocessable Content",
    431 => "Request Header Fields Too Large",
    503 => "Service Unavailable"
  }

  @headers "cache-control: no-cache\r\n" <>
             "content-security-policy: default-src 'self'; frame-ancestors 'self'\r\n" <>
             "x-content-type-options: nosniff\r\nconnection: close\r\n"

  def serve(socket) do
    case Request.read(socket) do
      {:ok, request} -> answer(socket, Router.route(request))
      {:error, status} -> refuse(socket, status)
      :closed -> :ok
    end

    :gen_tcp.close(socket)
  end

  # Closing while something is still unread would reset the connection, and could take our answer
  # with it. So the other side is given a second to read it and to hang up.
  defp refuse(socket, status) do
    answer(socket, {status, "text/plain", @reasons[status]})
    :gen_tcp.shutdown(socket, :write)
    :inet.setopts(socket, packet: :raw)
    drain(socket, System.monotonic_time(:millisecond) + 1_000)
  end

  defp drain(socket, deadline) do
    left = deadline - System.monotonic_time(:millisecond)

    with true <- left > 0,
         {:ok, _unread} <- :gen_tcp.recv(socket, 0, left),
         do: drain(socket, deadline)
  end

  defp answer(socket, :events) do
    with :ok <- :gen_tcp.send(socket, head(200, "text/event-stream")) do
      EventStream.run(socket)
    end
  end

  defp answer(socket, {status, type, body}) do
    length = "content-length: #{IO.iodata_length(body)}\r\n"
    :gen_tcp.send(socket, [head(status, type, length), body])
  end

  defp head(status, type, more \\ "") do
    type = "content-type: #{type}; charset=utf-8\r\n"
    ["HTTP/1.1 #{status} #{@reasons[status]}\r\n", type, more, @headers, "\r\n"]
  end
end
