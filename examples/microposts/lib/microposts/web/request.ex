defmodule Microposts.Web.Request do
  @moduledoc "Reads one HTTP request from a socket that has `packet: :http_bin`."

  @timeout 10_000
  @most_headers 100
  @longest_body 8192

  defstruct [:method, :path, length: 0, body: ""]

  @doc "`{:ok, request}`, `{:error, status}` to answer with, or `:closed`: by its end, or by a line too long."
  def read(socket) do
    with {:ok, request} <- read_line(socket),
         {:ok, request} <- read_headers(socket, request, @most_headers) do
      read_body(socket, request)
    end
  end

  defp read_line(socket) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_request, method, {:abs_path, target}, _version}} ->
        [path | _query] = String.split(target, "?", parts: 2)
        {:ok, %__MODULE__{method: to_string(method), path: path}}

      {:ok, _other} ->
        {:error, 400}

      {:error, _reason} ->
        :closed
    end
  end

  defp read_headers(_socket, _request, 0), do: {:error, 431}

  defp read_headers(socket, request, left) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_header, _, :"Content-Length", _, value}} ->
        case Integer.parse(value) do
          {length, ""} when length in 0..@longest_body ->
            read_headers(socket, %{request | length: length}, left - 1)

          {length, ""} when length > @longest_body ->
            {:error, 413}

          _wrong ->
            {:error, 400}
        end

      {:ok, {:http_header, _, :"Transfer-Encoding", _, _value}} ->
        {:error, 411}

      {:ok, {:http_header, _, _name, _, _value}} ->
        read_headers(socket, request, left - 1)

      {:ok, :http_eoh} ->
        {:ok, request}

      {:ok, _other} ->
        {:error, 400}

      {:error, _reason} ->
        :closed
    end
  end

  defp read_body(_socket, %{length: 0} = request), do: {:ok, request}

  defp read_body(socket, request) do
    :ok = :inet.setopts(socket, packet: :raw)

    case :gen_tcp.recv(socket, request.length, @timeout) do
      {:ok, body} -> {:ok, %{request | body: body}}
      {:error, _reason} -> :closed
    end
  end
end
