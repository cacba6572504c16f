extension Store {
    /// Where the store is unless the user says otherwise: `/var/lib/larder` for root, below the XDG data directory
    /// (basedir-spec) for everybody else. nil where a user has no home.
    public static func defaultPath(environment: [String: String], uid: UInt32) -> String? {
        if uid == 0 { return "/var/lib/larder" }
        // basedir-spec: a relative path is invalid and must be ignored.
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return data + "/larder" }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.local/share/larder"
    }
}
