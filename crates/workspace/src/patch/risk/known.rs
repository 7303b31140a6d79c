//! Names by which tools find what they run or obey, and names that nothing runs.
//!
//! Words are in lower case: `name` is a file, `name/` all below a folder, `folder/name` a file in a folder, and `*` is
//! anything. The first kind that has a name counts.

use super::RiskKind;

/// What is known to be run or obeyed.
pub(super) const KNOWN: &[(RiskKind, &str)] = &[
    (
        RiskKind::Hook,
        ".githooks/ .husky/ .git-hooks/ .hooks/ git-hooks/ git_hooks/ githooks/ .pre-commit-config.yaml
         .pre-commit-config.yml .pre-commit-hooks.yaml prek.toml lefthook.* lefthook-local.* .lefthook.*
         .lefthook-local.* .huskyrc .huskyrc.* .overcommit.yml .overcommit/ .captainhook.json captainhook.json
         .lintstagedrc .lintstagedrc.* lint-staged.config.* .simple-git-hooks.* simple-git-hooks.* .commitlintrc
         .commitlintrc.* .hg/ .svn/ .bzr/ .jj/ .pijul/ _darcs/ cvs/ _fossil_ .fslckout",
    ),
    (
        RiskKind::GitSettings,
        ".gitattributes .gitmodules .lfsconfig .gitconfig .gitconfig.* gitconfig .gitsigners .gitreview .gitallowed",
    ),
    (
        RiskKind::Ci,
        ".github/ .gitlab/ .gitea/ .forgejo/ .circleci/ .buildkite/ .woodpecker/ .ci/ .azure-pipelines/ .builds/
         .tekton/ .teamcity/ .semaphore/ .harness/ .drone/ .travis/ .cirrus/ .kokoro/ .zuul.d/ zuul.d/ .concourse/
         .screwdriver/ .gitlab-ci.yml .gitlab-ci.yaml *.gitlab-ci.yml *.gitlab-ci.yaml .travis.yml .drone.yml
         .drone.star .woodpecker.yml .woodpecker.yaml .cirrus.yml .cirrus.star jenkinsfile jenkinsfile.* *.jenkinsfile
         azure-pipelines*.yml azure-pipelines*.yaml bitbucket-pipelines.yml appveyor.yml .appveyor.yml buildspec*.yml
         buildspec*.yaml cloudbuild*.yaml cloudbuild*.yml cloudbuild*.json codefresh.yml wercker.yml shippable.yml
         circle.yml action.yml action.yaml zuul.yaml .zuul.yaml screwdriver.yaml bors.toml renovate.json renovate.json5
         netlify.toml vercel.json now.json render.yaml amplify.yml heroku.yml fly.toml wrangler.toml wrangler.json
         wrangler.jsonc snapcraft.yaml .readthedocs.yml .readthedocs.yaml .sourcehut.yml .codecov.yml bitrise.yml
         codemagic.yaml railway.json railway.toml nixpacks.toml jitpack.yml goreleaser.yml goreleaser.yaml",
    ),
    (
        RiskKind::Editor,
        ".vscode/ .idea/ .zed/ .vs/ .fleet/ .devcontainer/ .theia/ .helix/ .vim/ .nvim/ .emacs.d/ .run/ .settings/
         .sublime/ .nova/ .kakoune/ nvim/init.lua nvim/init.vim vimrc gvimrc exrc nvimrc session.vim _vimrc _gvimrc
         _exrc _emacs .exrc .nvimrc .nvim.lua .vimrc .lvimrc .lazy.lua .dir-locals.el .dir-locals-2.el
         .devcontainer.json .project .classpath .kateproject *.code-workspace *.sublime-project *.sublime-workspace
         *.iml *.ipr *.iws coc-settings.json hie.yaml *.xcscheme *.xcworkspacedata cask eask eldev",
    ),
    (
        RiskKind::Agent,
        ".claude/ .codex/ .gemini/ .cursor/ .windsurf/ .kiro/ .aider/ .continue/ .roo/ .cline/ .junie/ .agents/ .agent/
         .amazonq/ .opencode/ .qwen/ .trae/ .augment/ .goose/ .mcp.json mcp.json .cursorrules .windsurfrules .clinerules
         .clinerules/ .roomodes .aider.* .goosehints agents.md agent.md agents.override.md claude.md claude.local.md
         gemini.md qwen.md codex.md copilot-instructions.md skill.md warp.md crush.md crush.json .crush.json
         opencode.json opencode.jsonc *.instructions.md *.prompt.md *.chatmode.md *.agent.md",
    ),
    (
        RiskKind::Environment,
        ".mise/ mise/ .cargo/ .direnv/ .asdf/ .envrc .envrc.* .env .tool-versions .mise.toml .mise.*.toml mise.toml
         mise.*.toml .config/mise.toml .rtx.toml rtx.toml .banger.toml devenv.nix devenv.yaml devenv.lock devbox.json
         .devbox/ .flox/ .pixi/ .nvmrc .node-version .python-version .ruby-version .java-version .sdkmanrc .autoenv
         .autoenv.* .in .out .bashrc .bash_profile .bash_login .bash_logout .profile .zshrc .zshenv .zprofile .zlogin
         .inputrc .ssh/ .gnupg/ .netrc _netrc .tmux.conf .screenrc .gdbinit .lldbinit gdbinit *-gdb.py *-gdb.gdb
         *-gdb.scm bashrc bash_profile zshrc zshenv zprofile .npmrc .yarnrc .yarnrc.yml .yarn/ .pnpmfile.cjs .pip/
         .pypirc pip.conf pip.ini .rprofile .renviron .irbrc .pryrc .ghci .ocamlinit .iex.exs .sqliterc .psqlrc .curlrc
         .wgetrc autorun.inf desktop.ini *.lnk *.scf *.desktop *.library-ms",
    ),
    (
        RiskKind::Library,
        "*.so *.so.0 *.so.1 *.so.2 *.so.3 *.so.4 *.so.5 *.so.6 *.dylib *.dll *.pyd *.node *.jar *.war *.pyc *.pyo
         *.class *.exe *.scr *.msi *.ko *.o *.a *.lib *.wasm *.elc *.beam *.luac *.bpl *.ocx *.whl *.egg",
    ),
    // make, CMake, Meson, the Autotools and others that build from C.
    (
        RiskKind::Build,
        "makefile gnumakefile bsdmakefile makefile.* *.makefile *.mk *.mak kbuild kbuild.* kconfig kconfig.* *.ninja
         cmakelists.txt cmakepresets.json cmakeuserpresets.json ctestcustom.* *.cmake *.cmake.in meson.build
         meson_options.txt meson.options sconstruct sconscript wscript tupfile tuprules.tup premake5.lua xmake.lua
         android.bp *.pro *.pri configure configure.ac configure.in *.m4 *.am autogen.sh bootstrap bootstrap.sh
         config.guess config.sub install-sh ltmain.sh depcomp missing compile conanfile.py conanfile.txt vcpkg.json
         imakefile jamfile jamroot jamfile.* jamroot.* *.jam *.qbs premake4.lua genie.lua tupfile.lua make.bat make.cmd
         waf scsub site_scons/ mkinstalldirs ylwrap test-driver ar-lib doxyfile doxyfile.*",
    ),
    // Rust, Go, Zig, Swift and other compiled languages.
    (
        RiskKind::Build,
        "cargo.toml cargo.lock cargo/config build.rs rust-toolchain rust-toolchain.toml bacon.toml cross.toml trunk.toml
         go.mod go.sum go.work go.work.sum magefile.go magefiles/ build.zig build.zig.zon package.swift package.resolved
         project.pbxproj *.xcconfig cartfile podfile podfile.lock *.podspec *.nimble *.nims nim.cfg dub.json dub.sdl
         v.mod shard.yml shard.lock fpm.toml lakefile.lean lakefile.toml lake-manifest.json lean-toolchain _coqproject",
    ),
    // JavaScript.
    (
        RiskKind::Build,
        "package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml pnpm-workspace.yaml bun.lock
         bun.lockb bunfig.toml deno.json deno.jsonc deno.lock import_map.json gulpfile.* gruntfile.* jakefile jakefile.*
         lerna.json nx.json turbo.json rush.json angular.json nest-cli.json nodemon.json firebase.json tsconfig*.json
         jsconfig*.json binding.gyp *.gyp *.gypi *.config.js *.config.cjs *.config.mjs *.config.ts *.config.cts
         *.config.mts *.conf.js *.conf.ts *.workspace.ts *.workspace.js webpack.* rollup.* vite.* babel.* jest.setup.*
         vitest.setup.* setuptests.* hardhat.* truffle.js truffle-config.js ember-cli-build.js testem.js brocfile.js
         config-overrides.js gatsby-*.js gatsby-*.ts plopfile.* cakefile ecosystem.json pm2.json cypress.json
         tslint.json typedoc.json cspell.json electron-builder.* foundry.toml codegen.yml codegen.yaml serverless.yml
         serverless.yaml cdk.json node_modules/",
    ),
    // Python.
    (
        RiskKind::Build,
        "setup.py setup.cfg pyproject.toml conftest.py sitecustomize.py usercustomize.py *.pth *._pth *.egg-link
         pyvenv.cfg tox.ini noxfile.py pytest.ini pytest.toml tasks.py fabfile.py dodo.py manage.py requirements*.txt
         constraints*.txt pipfile pipfile.lock poetry.lock poetry.toml pdm.lock pdm_build.py uv.lock uv.toml pixi.toml
         pixi.lock hatch.toml hatch_build.py environment.yml environment.yaml gunicorn.conf.py mkdocs.yml mkdocs.yaml
         conf.py snakefile *.smk mypy.ini pylintrc locustfile.py book.toml pavement.py buildout.cfg ipython_config.py
         jupyter_*_config.py",
    ),
    // Ruby, PHP, Perl, R, Julia, Lua.
    (
        RiskKind::Build,
        "gemfile gemfile.lock gems.rb gems.locked *.gemspec rakefile rakefile.rb *.rake guardfile capfile fastfile
         appfile deliverfile matchfile gymfile scanfile snapfile pluginfile puppetfile appraisals mintfile config.rb
         berksfile brewfile dangerfile thorfile steepfile config.ru _config.yml _plugins/ spec_helper.rb test_helper.rb
         rails_helper.rb composer.json composer.lock phpunit.xml phpunit.xml.dist phpstan.neon phpstan.neon.dist
         rector.php ecs.php robofile.php castor.php deploy.php psalm.xml psalm.xml.dist phpcs.xml phpcs.xml.dist artisan
         php.ini build.pl cpanfile dist.ini _targets.r _drake.r _quarto.yml _bookdown.yml configure.win configure.ucrt
         cleanup cleanup.win renv.lock renv/activate.r project.toml manifest.toml juliaproject.toml make.jl build.jl
         *.rockspec *.asd",
    ),
    // The JVM.
    (
        RiskKind::Build,
        "*.gradle *.gradle.kts gradle.properties gradlew gradlew.bat gradle-wrapper.properties libs.versions.toml
         buildsrc/ pom.xml mvnw mvnw.cmd build.xml ivy.xml *.sbt build.properties build.sc *.mill project.clj
         profiles.clj user.clj data_readers.clj data_readers.cljc deps.edn bb.edn shadow-cljs.edn build.boot
         pubspec.yaml pubspec.lock build.yaml analysis_options.yaml",
    ),
    // .NET, Erlang, Haskell, OCaml.
    (
        RiskKind::Build,
        "*.csproj *.fsproj *.vbproj *.vcxproj *.proj *.props *.targets *.sln *.slnx *.slnf *.pubxml *.rsp *.user *.tt
         nuget.config global.json packages.config packages.lock.json build.cake *.cake paket.dependencies paket.lock
         web.config mix.exs mix.lock test_helper.exs config.exs runtime.exs rebar.config rebar.config.script rebar.lock
         emakefile vm.args setup.hs setup.lhs stack.yaml stack.yaml.lock package.yaml *.cabal cabal.project
         cabal.project.* shakefile.hs dune dune-project dune-workspace *.opam opam _oasis _tags myocamlbuild.ml esy.json",
    ),
    // Monorepos, Nix and runners of tasks.
    (
        RiskKind::Build,
        "workspace workspace.bazel workspace.bzlmod module.bazel module.bazel.lock build build.* *.bzl *.bazel
         tools/bazel buck pants.toml flake.nix flake.lock shell.nix default.nix release.nix configuration.nix home.nix
         guix.scm manifest.scm justfile *.just taskfile.yml taskfile.yaml taskfile.dist.yml taskfile.dist.yaml
         maskfile.md earthfile tiltfile runfile bakefile latexmkrc buf.gen.yaml",
    ),
    // Containers and machines.
    (
        RiskKind::Build,
        "dockerfile dockerfile.* *.dockerfile containerfile containerfile.* docker-compose*.yml docker-compose*.yaml
         compose*.yml compose*.yaml docker-bake.* skaffold.yaml devspace.yaml okteto.yml helmfile.yaml chart.yaml
         kustomization.yaml kustomization.yml vagrantfile *.tf *.tf.json *.tfvars *.tofu *.hcl *.nomad ansible.cfg
         pulumi.yaml pulumi.*.yaml procfile procfile.* app.json supervisord.conf *.service *.timer crontab rc.local
         modd.conf process-compose.yaml process-compose.yml mprocs.yaml garden.yml werf.yaml dagger.json",
    ),
    // Packages of distributions.
    (
        RiskKind::Build,
        "pkgbuild apkbuild *.slackbuild *.ebuild *.eclass *.spec makepkg.conf debian/rules debian/preinst
         debian/postinst debian/prerm debian/postrm debian/config *.preinst *.postinst *.prerm *.postrm rules.mk",
    ),
    // They run nothing, and say what is left out: of commits, of images, of what is published or sent into a VM.
    (
        RiskKind::Ignore,
        ".gitignore .ignore .rgignore .fdignore .dockerignore .containerignore .npmignore .gcloudignore .vercelignore
         .slugignore .ebignore .helmignore .hgignore .cvsignore .bazelignore .vscodeignore .cursorignore .aiexclude
         .prettierignore .eslintignore .stylelintignore .markdownlintignore .semgrepignore .terraformignore",
    ),
];

/// git's hooks, but for `update`, which many files are called.
pub(super) const HOOKS: &str = "applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit \
    prepare-commit-msg commit-msg post-commit pre-rebase post-checkout post-merge pre-push pre-receive proc-receive \
    post-receive post-update reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate \
    fsmonitor-watchman post-index-change p4-changelist p4-prepare-changelist p4-post-changelist p4-pre-submit";

/// Hidden files that nothing runs and that name nothing that runs.
pub(super) const HARMLESS: &[&str] = &[
    // Empty: they keep a folder.
    ".gitkeep",
    ".keep",
    ".nojekyll",
    // Read by git, for names of people and commits that a blame passes over.
    ".mailmap",
    ".git-blame-ignore-revs",
    // Indentation and ends of lines; the format has keys of these alone.
    ".editorconfig",
    // Styles of formatters that have no plugins. (.prettierrc, .eslintrc and .stylelintrc name plugins; .clangd and
    // .clang-tidy name arguments of compilers.)
    ".clang-format",
    ".clang-format-ignore",
    ".rustfmt.toml",
    ".clippy.toml",
    ".swift-format",
    // Examples, which are copied by hand.
    ".env.example",
    ".env.sample",
    ".env.template",
];
