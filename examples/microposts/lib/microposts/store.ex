defmodule Microposts.Store do
  @moduledoc """
  The posts: a table of Mnesia in memory, of which every node has a copy.

  A node starts with a table of its own. Sooner or later it sees stores whose table is another
  one: it is new, or several have started at the same moment, or the network was cut in two.
  All three are one case here. The smaller side gives way, node by node: it sets its posts
  aside, starts Mnesia afresh, takes a copy of the other table, and puts its own posts into it,
  where of each post the newer version stays. One node moves at a time, under a lock.

  All that a node reads and writes goes through this process, so that nothing is written
  between the setting aside and the putting back.
  """
  use GenServer
  require Logger
  alias Microposts.{Events, Post}

  @table :posts
  @timeout 30_000
  @again 300

  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  def all, do: GenServer.call(__MODULE__, :all, @timeout)
  def create(post), do: GenServer.call(__MODULE__, {:create, post}, @timeout)

  @doc "Makes `fun` of the post that has this id: `{:ok, post}` or `{:error, :not_found}`."
  def change(id, fun), do: GenServer.call(__MODULE__, {:change, id, fun}, @timeout)

  @impl true
  def init(nil) do
    :ok = :mnesia.start()
    unless @table in :mnesia.system_info(:tables), do: :ok = create_table()
    Events.join_stores()
    {:ok, nil}
  end

  @impl true
  def handle_call(:all, _from, state), do: {:reply, read_all(), state}

  def handle_call({:create, post}, _from, state) do
    {:reply, transaction(fn -> write(post) end), state}
  end

  def handle_call({:change, id, fun}, _from, state) do
    changed =
      transaction(fn ->
        case read(id) do
          %Post{deleted: false} = post -> write(fun.(post))
          _none -> :mnesia.abort(:not_found)
        end
      end)

    {:reply, changed, state}
  end

  @impl true
  def handle_info({_reference, change, :stores, _pids}, state) when change in [:join, :leave] do
    settle()
    {:noreply, state}
  end

  def handle_info(:settle, state) do
    settle()
    {:noreply, state}
  end

  # Brings the copies to where the stores are. What cannot be done now is tried again.
  defp settle do
    with_lock(fn ->
      case better_table() do
        nil -> forget_the_gone()
        node -> move_to(node)
      end
    end)

    unless settled?(), do: Process.send_after(self(), :settle, @again + :rand.uniform(@again))
  end

  defp settled? do
    stores = Enum.sort(Events.store_nodes())
    Enum.sort(copies()) == stores and Enum.sort(:mnesia.system_info(:db_nodes)) == stores
  end

  # Whoever does not get the lock does not wait for it, since its holder may need our answers.
  defp with_lock(fun) do
    unless settled?(), do: :global.trans({@table, self()}, fun, [node() | Node.list()], 0)
  end

  # A node whose table ours should give way to, if there is one.
  defp better_table do
    ours = rank(node(), copies())

    (Events.store_nodes() -- copies())
    |> Enum.flat_map(fn node ->
      case copies_there(node) do
        {:ok, nodes} -> [{rank(node, nodes), node}]
        :error -> []
      end
    end)
    |> Enum.filter(fn {rank, _node} -> rank < ours end)
    |> Enum.min(fn -> {nil, nil} end)
    |> elem(1)
  end

  # Which table stays: the one with more copies, else the one with the first name.
  defp rank(node, copies), do: {-length(copies), Enum.min(copies), node}

  defp copies, do: :mnesia.system_info(:running_db_nodes)

  defp copies_there(node) do
    case :erpc.call(node, :mnesia, :system_info, [:running_db_nodes], 5_000) do
      [_ | _] = nodes -> {:ok, nodes}
      _none -> :error
    end
  catch
    _kind, _reason -> :error
  end

  defp move_to(node) do
    aside = read_all()
    restart()

    case take_copy(node) do
      :ok ->
        Logger.info("shares the table of #{node}, and brings #{length(aside)} posts")

      error ->
        Logger.warning("cannot share the table of #{node} now: #{inspect(error)}")
        restart()
        :ok = create_table()
    end

    for post <- aside, {:ok, _newer} <- [transaction(fn -> merge(post) end)] do
      Events.changed(post)
    end

    Events.refresh()
  end

  defp restart do
    :stopped = :mnesia.stop()
    :ok = :mnesia.start()
  end

  defp take_copy(node) do
    with {:ok, [_ | _]} <- :mnesia.change_config(:extra_db_nodes, [node]),
         done when done in [{:atomic, :ok}, {:aborted, {:already_exists, @table, node()}}] <-
           :mnesia.add_table_copy(@table, node(), :ram_copies) do
      :mnesia.wait_for_tables([@table], 10_000)
    end
  end

  # The first of those that are left strikes from Mnesia's list who is gone. Who comes back
  # starts afresh, so nothing is missed.
  defp forget_the_gone do
    if node() == Enum.min(copies()) do
      for gone <- :mnesia.system_info(:db_nodes) -- copies() do
        :mnesia.del_table_copy(:schema, gone)
      end
    end
  end

  defp create_table do
    {:atomic, :ok} = :mnesia.create_table(@table, attributes: [:id, :post])
    :ok
  end

  defp transaction(fun) do
    case :mnesia.transaction(fun) do
      {:atomic, value} -> {:ok, value}
      {:aborted, reason} -> {:error, reason}
    end
  end

  defp read_all do
    for {@table, _id, post} <- :ets.tab2list(@table), do: post
  end

  # These three are for transactions.

  defp read(id) do
    case :mnesia.read(@table, id, :write) do
      [{@table, ^id, post}] -> post
      [] -> nil
    end
  end

  defp write(post) do
    :ok = :mnesia.write({@table, post.id, post})
    post
  end

  defp merge(post) do
    stored = read(post.id)
    if stored && not Post.replaces?(post, stored), do: :mnesia.abort(:older), else: write(post)
  end
end
