"""x"""
class JPTPipeline: pass
