import OCI
import Store
import TreeIndex

extension Store {
    /// Publishes a finished index.
    func publish(_ document: IndexDocument, as key: Digest) throws {
        let temporary = try temporary("index")
        try document.write { (bytes: UnsafeRawBufferPointer) throws(StoreError) in try temporary.write(bytes) }
        try publish(temporary, as: .tree(key))
    }
}
