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
    414 => "URI Too Long",
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
      {:error, status} -> answer(socket, {status, "text/plain", @reasons[status]})
      :closed -> :ok
    end

    :gen_tcp.close(socket)
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
