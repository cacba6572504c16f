import Glibc

/// The `larder` binary under test, run in an environment that knows nothing of the developer's own settings.
enum LarderCommand {
    /// `$LARDER_BINARY`, else what `swift build` made beside this test bundle.
    static let binary: String = {
        if let path = Environment.current["LARDER_BINARY"], !path.isEmpty { return path }
        return "\(Checkout.path)/.build/debug/larder"
    }()

    /// Another program of this package, which `swift build` puts beside the command.
    static func beside(_ name: String) -> String {
        let folder = binary.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let path = "\(folder)/\(name)"
        return access(path, X_OK) == 0 ? path : "\(Checkout.path)/.build/debug/\(name)"
    }

    /// Only what the command needs, with `home` as the home directory.
    static func environment(home: String, _ more: [String: String] = [:]) -> [String: String] {
        ["PATH": Environment.current["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LC_ALL": "C.UTF-8",
         "XDG_CONFIG_HOME": "\(home)/.config", "DOCKER_CONFIG": "\(home)/.docker",
         "REGISTRY_AUTH_FILE": "\(home)/auth.json", "LARDER_CONFIG": ""].merging(more) { $1 }
    }
}

enum Checkout {
    /// The top of the source tree.
    static let path: String = {
        let parts = #filePath.split(separator: "/").dropLast(4)
        return "/" + parts.joined(separator: "/")
    }()

    static var fixtures: String { "\(path)/Tests/Fixtures" }
    static var scripts: String { "\(path)/mount-scripts" }
}
