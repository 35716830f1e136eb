defmodule Microposts.Web.Router do
  @moduledoc """
  What is where. Posts are sent as plain text and come back as JSON.

      GET    /             the page, with /style.css and /page.js
      GET    /events       what it shows, as server-sent events
      POST   /posts        201, or 422 with what is wrong with the text
      PUT    /posts/ID     200, 404, 422
      DELETE /posts/ID     200, 404
      GET    /healthz      200, for the readiness probe
  """
  require Logger
  alias Microposts.Posts
  alias Microposts.Web.View

  @files %{
    "/" => {"index.html", "text/html"},
    "/style.css" => {"style.css", "text/css"},
    "/page.js" => {"page.js", "text/javascript"}
  }

  def route(request) do
    respond(request.method, String.split(request.path, "/", trim: true), request)
  catch
    # The store is busy with the other nodes for longer than a page wants to wait.
    :exit, reason ->
      Logger.warning("#{request.method} #{request.path}: #{inspect(reason)}")
      {503, "text/plain", "the posts cannot be reached right now; please try again"}
  end

  defp respond("GET", ["events"], _request), do: :events
  defp respond("GET", ["healthz"], _request), do: {200, "text/plain", "ok\n"}
  defp respond("POST", ["posts"], request), do: result(Posts.create(request.body), 201)
  defp respond("PUT", ["posts", id], request), do: result(Posts.edit(id, request.body), 200)
  defp respond("DELETE", ["posts", id], _request), do: result(Posts.delete(id), 200)
  defp respond("GET", _path, %{path: path}) when is_map_key(@files, path), do: file(@files[path])

  defp respond(_method, path, %{path: whole}) do
    known =
      is_map_key(@files, whole) or match?([word | _] when word in ~w(events healthz posts), path)

    if known,
      do: {405, "text/plain", "not with this method"},
      else: {404, "text/plain", "not found"}
  end

  defp result({:ok, post}, status), do: {status, "application/json", View.post(post)}
  defp result({:error, :not_found}, _), do: {404, "text/plain", "this post is not there any more"}
  defp result({:error, wrong}, _) when is_binary(wrong), do: {422, "text/plain", wrong}
  defp result({:error, reason}, _), do: exit(reason)

  defp file({name, type}) do
    {200, type, File.read!(Application.app_dir(:microposts, ["priv/static/", name]))}
  end
end
