{application, sample,
 [{description, "Logs which nodes come and go"},
  {vsn, "0.1.0"},
  {modules, [sample_app, sample_sup, sample_watcher]},
  {registered, [sample_sup, sample_watcher]},
  {applications, [kernel, stdlib]},
  {mod, {sample_app, []}}]}.
